"""Calls in OS threads that a CapacityLimiter limits: each has its token until its function has ended."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, assert_type

import pytest

from socket2 import (
    Cancelled,
    CapacityLimiter,
    Event,
    Operation,
    call_in_thread,
    newthread,
    run,
    serve_threads,
    sleep,
    start,
    timeout,
)
from socket2.threads.osthreads import Pool
from socket2.threads.scheduler import current_scheduler

from . import test_osthreads
from .test_osthreads import Work
from .test_sync import ends

Steps = Generator[Any, Any, Any]

work = test_osthreads.work


def calls(work: Work, limiter: CapacityLimiter, names: str) -> list[Any]:
    return [newthread(call_limited, work, limiter, name) for name in names]


def call_limited(work: Work, limiter: CapacityLimiter, name: str) -> Operation[str]:
    return call_in_thread(work, name, limiter=limiter)


def needs_limiter(limiter: object) -> None: ...


def until(is_true: Callable[[], bool]) -> Steps:
    while not is_true():
        yield from sleep(0.001)


def test_no_more_calls_run_than_there_are_tokens(work: Work) -> None:
    def main() -> Steps:
        limiter = CapacityLimiter(2)
        threads = calls(work, limiter, "abcde")
        work.wait_for(2)
        assert limiter.borrowed == 2
        assert "capacity limiter" in repr(threads[2])
        work.let_go(*"abcde")
        got = []
        for thread in threads:
            got.append((yield from thread.join()))
        assert got == list("ABCDE")
        assert work.begun == sorted(work.begun)
        assert work.most == 2
        assert limiter.borrowed == 0

    run(main)


def test_arguments_results_and_errors() -> None:
    def main() -> Steps:
        limiter = CapacityLimiter(1)
        number = yield from call_in_thread(int, "11", limiter=limiter)
        assert assert_type(number, int) == 11
        assert (yield from call_in_thread(partial(int, "11", base=2), limiter=limiter)) == 3
        untyped: Any = call_in_thread
        assert (yield from untyped(int, "11", base=2, limiter=limiter)) == 3
        assert (yield from call_in_thread(int, "5", limiter=None)) == 5
        with pytest.raises(ValueError, match="invalid literal"):
            yield from call_in_thread(int, "x", limiter=limiter)
        assert limiter.borrowed == 0
        with pytest.raises(TypeError, match="must be a CapacityLimiter"):
            untyped(int, limiter=1)
        with pytest.raises(TypeError, match=r"'limiter'\. call_in_thread\(\) takes limiter= for itself: .*partial"):
            yield from call_in_thread(needs_limiter, limiter=limiter)
        with (yield from limiter.acquire()):
            with pytest.raises(TimeoutError):  # the call borrows a token of its own
                yield from sleep_limited(limiter, 0.001)
            limiter.total = 2
            yield from call_in_thread(int, limiter=limiter)

    def sleep_limited(limiter: CapacityLimiter, seconds: float) -> Steps:
        with timeout(seconds):
            yield from call_in_thread(int, limiter=limiter)

    run(main)


def test_an_abandoned_call_has_its_token_until_it_has_ended(work: Work) -> None:
    """The thread that waits for the token is not in a hopeless wait, although no thread can end it."""

    def main() -> Steps:
        limiter = CapacityLimiter(1)
        (first,) = calls(work, limiter, "a")
        work.wait_for(1)
        first.cancel()
        yield from ends(first)
        assert limiter.borrowed == 1
        second = newthread(limiter.acquire)
        (third,) = calls(work, limiter, "b")
        os_thread = newthread(call_in_thread, let_go_soon)
        yield from os_thread.join()
        yield from second.join()
        limiter._give_back(second)
        work.let_go("b")
        yield from third.join()
        assert limiter.borrowed == 0

    def let_go_soon() -> None:
        work.let_go("a")

    run(main)


def test_a_loop_waits_for_the_token_of_an_abandoned_call(work: Work) -> None:
    """Also if the thread began to wait before the limiter limited calls."""
    limiter, trail = CapacityLimiter(2), list[str]()
    gate = Event()

    def holder() -> Steps:
        with (yield from limiter.acquire()):
            yield from gate.wait()

    def waiter() -> Steps:
        with (yield from limiter.acquire()):
            trail.append("waiter")

    def main() -> Steps:
        holders = [newthread(holder) for _ in range(2)]
        newthread(waiter)
        hopeless = current_scheduler().hopeless
        limiter.total = 0
        (call,) = calls(work, limiter, "a")
        assert current_scheduler().hopeless == hopeless - 1
        gate.set()
        yield from ends(*holders)
        yield from limiter_for(call)

    def limiter_for(call: Any) -> Steps:
        """Let the call have the only token, although the other thread came first."""
        place = limiter._line.first()
        assert place is not None
        limiter._line.places.move_to_end(place)
        limiter.total = 1
        yield from until(lambda: "OS thread" in repr(call))
        work.wait_for(1)
        call.cancel()
        yield from ends(call)

    run(main)
    assert not start(0.01)  # it does not say that nothing is left to wait for
    assert not trail
    work.let_go("a")
    assert start()
    assert trail == ["waiter"]
    assert limiter.borrowed == 0


def test_a_call_that_is_cancelled_before_it_begins_gives_its_token_back(work: Work) -> None:
    pool = Pool(1, "test")
    scheduler = current_scheduler()
    scheduler.caller = pool

    def main() -> Steps:
        limiter = CapacityLimiter(2)
        first, queued = calls(work, limiter, "ab")
        work.wait_for(1)
        assert limiter.borrowed == 2
        queued.cancel()
        yield from ends(queued)
        assert limiter.borrowed == 1
        third, fourth = calls(work, limiter, "cd")
        fourth.cancel()
        yield from ends(fourth)
        assert isinstance(fourth.error, Cancelled)
        work.let_go("a", "c")
        yield from third.join()
        yield from first.join()
        assert limiter.borrowed == 0
        assert work.begun == ["a", "c"]

    try:
        run(main)
    finally:
        scheduler.caller = None
        pool.end()


def test_without_an_os_thread_there_is_an_error_and_no_token_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(Pool):
        def _provide_thread(self) -> None:
            raise RuntimeError("can't start new thread")

    current_scheduler().caller = Without(1, "test")

    def main() -> Steps:
        limiter = CapacityLimiter(1)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start"):
                yield from call_in_thread(int, limiter=limiter)
        assert limiter.borrowed == 0

    try:
        run(main)
    finally:
        current_scheduler().caller = None


@pytest.mark.parametrize("members", [1, 4])
def test_members_share_it_while_calls_are_cancelled(members: int) -> None:
    dice = random.Random(members)
    limiter = CapacityLimiter(3)
    changed = threading.Lock()
    running, most = [0], [0]
    made: list[int] = []

    def toil(number: int) -> None:
        with changed:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.0005)
        with changed:
            running[0] -= 1
            made.append(number)

    def caller(number: int) -> Steps:
        yield from call_in_thread(toil, number, limiter=limiter)

    def main() -> Steps:
        threads = []
        for number in range(60):
            threads.append(newthread(caller, number))
            if dice.random() < 0.3:
                dice.choice(threads).cancel()
            if number % 7 == 0:
                yield from sleep(0)
        yield from ends(*threads)
        yield from until(lambda: limiter.borrowed == 0)
        assert all(at in made for at, thread in enumerate(threads) if thread.error is None)

    thread = newthread(main)
    assert serve_threads(members)
    assert thread.result() is None
    assert 1 <= most[0] <= 3
