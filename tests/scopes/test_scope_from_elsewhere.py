"""Scopes that other OS threads and signal handlers change, and that go on in another OS thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    call_in_thread,
    currentthread,
    move_on_after,
    newthread,
    now,
    run,
    scope,
    serve_threads,
    sleep,
    suspend,
    timeout,
)
from socket2.threads import joining
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..contract import kinds
from ..interop.peers import LIMIT_S

Steps = Generator[Any, Any, Any]


def nothing_is_pending() -> None:
    interruptions = current_scheduler().interruptions
    assert interruptions.known == {}
    assert interruptions.scopes == {}


def elsewhere(call: Callable[..., Any], *args: Any) -> None:
    """Make a call in another OS thread, which does not serve the scheduler."""
    os_thread = threading.Thread(target=call, args=args)
    os_thread.start()
    os_thread.join()


# Other OS threads and signal handlers.


def rests(s: scope | timeout) -> Steps:
    with s:
        yield from suspend()
    return "went on"


def changed_by(change: Callable[[scope], Any], by: Callable[..., Any]) -> None:
    """Have the loop sleep in the poller, and `by` make the change meanwhile."""

    def main() -> Steps:
        s = scope(timeout_s=LIMIT_S)
        thread = newthread(rests, s)
        yield from call_in_thread(by, change, s)
        assert (yield from thread.join()) == "went on"
        assert s.cut_short

    run(main)
    nothing_is_pending()


def expire(s: scope) -> None:
    s.deadline = 0


@pytest.mark.parametrize("change", [scope.cancel, expire])
def test_another_os_thread_ends_a_block(change: Callable[[scope], Any]) -> None:
    changed_by(change, lambda change, s: change(s))


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")
@pytest.mark.parametrize("change", [scope.cancel, expire])
def test_a_signal_handler_ends_a_block(change: Callable[[scope], Any]) -> None:
    def by(change: Callable[[scope], Any], s: scope) -> None:
        signals.append(lambda: change(s))
        os.kill(os.getpid(), signal.SIGUSR1)

    signals: list[Callable[[], Any]] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: signals.pop()())
    try:
        changed_by(change, by)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_os_thread_lowers_a_shield() -> None:
    def main() -> Steps:
        s = scope(shield=True)

        def inner() -> Steps:
            yield from rests(s)

        thread = newthread(inner)
        thread.cancel()
        for _ in range(3):
            yield from sleep(0)
        assert not thread.done
        yield from call_in_thread(setattr, s, "shield", False)
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    nothing_is_pending()


def test_another_os_thread_raises_a_shield_and_it_counts_at_once() -> None:
    def main() -> Steps:
        s = scope()

        def inner() -> Steps:
            with s:
                elsewhere(setattr, s, "shield", True)
                currentthread().cancel()
                for _ in range(3):
                    yield from sleep(0)
                s.cancel()
                yield from sleep(0)
            yield from sleep(0)

        thread = newthread(inner)
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert s.cut_short

    run(main)
    nothing_is_pending()


def test_outside_of_threads_a_block_cannot_be_entered_but_cancelled() -> None:
    s = scope(timeout_s=5)
    with pytest.raises(RuntimeError, match="only inside a thread"), s:
        pass
    s.cancel()
    s.deadline = now() + 1

    def main() -> Steps:
        with s:
            yield from sleep(1000)

    run(main)
    assert s.cut_short
    s.cancel()
    s.shield = True
    s.deadline = 0
    nothing_is_pending()


@pytest.fixture(params=[name for name, manner in kinds.names() if manner == "shared"])
def shared(request: pytest.FixtureRequest) -> Scheduler:
    local.scheduler = scheduler = Scheduler(kinds.make(request.param))
    joining.share(scheduler)
    return scheduler


@pytest.mark.usefixtures("shared")
def test_a_block_goes_on_in_another_os_thread() -> None:
    """Many threads are cancelled in every way, and no shield is broken, whoever runs it."""
    where: set[int] = set()
    broken: list[BaseException] = []
    ended: list[bool] = []

    def worker(s: scope, inner: scope) -> Steps:
        with s:
            for _ in range(3):
                where.add(threading.get_ident())
                try:
                    with inner:
                        for _ in range(4):
                            yield from sleep(0)
                except Cancelled as error:
                    broken.append(error)
                    raise
                yield from sleep(0)
            yield from suspend()
        assert s.cut_short
        with move_on_after(0.001) as last:
            yield from suspend()
        assert last.expired
        return "went on"

    def blocks() -> Steps:
        """Make another OS thread take over from the one that has run the workers so far."""
        while len(where) < 2 and not ended:
            if threading.get_ident() in where:
                threading.Event().wait(0.01)
            yield from sleep(0)

    def main() -> Steps:
        newthread(blocks)
        try:
            with timeout(LIMIT_S):
                while len(where) < 2:
                    yield from round_of_workers()
        finally:
            ended.append(True)

    def round_of_workers() -> Steps:
        scopes = [(scope(), scope(shield=True)) for _ in range(30)]
        threads = [newthread(worker, *pair) for pair in scopes]
        yield from sleep(0)
        for number, (outer, inner) in enumerate(scopes):
            outer.cancel()
            if number % 3 == 0:
                inner.cancel()
        for thread in threads:
            assert (yield from thread.join()) == "went on"

    thread = newthread(main)
    assert serve_threads(3) is True
    thread.result()
    assert not broken
    nothing_is_pending()
