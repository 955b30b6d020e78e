"""Several OS threads in one kqueue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .asked import PATIENCE_S, Kernel, answered


def _who_gets_it(k: Kernel, mode: str) -> str:
    """Four OS threads wait for one event. When the first has it, an event that all see ends the wait of the others."""
    (one, other), (end, ender) = k.pair(), k.pair()
    kq = k.kqueue(k.change(one, "READ", f"ADD {mode}"))
    got: list[str] = []
    first = threading.Event()

    def wait() -> None:
        events = kq.control(None, 1, PATIENCE_S)
        got.extend("it" for event in events if event.ident == one.fileno())
        first.set()

    waiters = [threading.Thread(target=wait) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    other.send(b"x")
    first.wait(PATIENCE_S)
    ender.send(b"x")
    kq.control([k.change(end, "READ", "ADD")], 0)
    for waiter in waiters:
        waiter.join()
    return f"{len(got)} of 4" if len(got) < 2 else "several"


@answered("1 of 4")
def test_clear_is_told_to_one(k: Kernel) -> str:
    return _who_gets_it(k, "CLEAR")


@answered("1 of 4")
def test_oneshot_is_told_to_one(k: Kernel) -> str:
    return _who_gets_it(k, "ONESHOT")


@answered("1 of 4")
def test_dispatch_is_told_to_one(k: Kernel) -> str:
    return _who_gets_it(k, "DISPATCH")


@answered("one or more")
def test_level_triggered_may_be_told_to_all(k: Kernel) -> str:
    return _who_gets_it(k, "").replace("several", "one or more").replace("1 of 4", "one or more")


def _while_another_waits(k: Kernel, kq: Any, act: Callable[[], object]) -> str:
    answers: list[str] = []
    waiter = threading.Thread(target=lambda: answers.append(k.ask(kq)))
    waiter.start()
    act()
    waiter.join()
    return answers[0]


@answered("R1")
def test_add_by_one_is_an_event_for_another_that_waits(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue()
    return _while_another_waits(k, kq, lambda: kq.control([k.change(one, "READ", "ADD")], 0))


@answered("U")
def test_a_trigger_wakes_another_that_waits(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD CLEAR"))
    return _while_another_waits(k, kq, lambda: kq.control([k.trigger(1)], 0))


@answered("0 errors", netbsd="2000 errors EINVAL")
def test_changes_of_four_at_once(k: Kernel) -> str:
    kq = k.kqueue()
    errors: list[OSError] = []

    def work(ident: int) -> None:
        for _ in range(100):
            try:
                kq.control([k.change(ident, "USER", "ADD CLEAR")], 0)
                kq.control([k.trigger(ident)], 0)
                kq.control([k.change(ident, "USER", "DELETE")], 0)
            except OSError as error:
                errors.append(error)

    workers = [threading.Thread(target=work, args=(ident,)) for ident in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return f"{len(errors)} errors"
