"""Threads: waiting for the wrong thing, cancelling, suspending."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Thread, currentthread, newthread, resume, run, sleep, start, suspend
from socket2.threads import joining
from socket2.threads.scheduler import current_scheduler

from .test_scheduler import pause

Steps = Generator[Any, Any, Any]


# Waiting for the wrong thing.


def test_a_yield_without_from_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def forgot_from() -> Steps:
        try:
            yield pause()
        except TypeError as error:
            return str(error)

    def nonsense() -> Steps:
        yield 42

    def main() -> Steps:
        assert "yield from" in (yield from newthread(forgot_from).join())
        with pytest.raises(TypeError, match="42, which is not an operation of socket2"):
            yield from newthread(nonsense).join()

    run(main)


def test_what_needs_a_thread_says_so() -> None:
    for call in (currentthread, suspend, partial(sleep, 1), partial(socket2.call_in_thread, print)):
        with pytest.raises(RuntimeError, match="only inside a thread"):
            call()
    with pytest.raises(RuntimeError, match="only inside a thread"), socket2.timeout(1):
        pass


# Cancelling.


def test_cancel_ends_a_wait_at_once() -> None:
    trail = []

    def worker() -> Steps:
        try:
            yield from sleep(1000)
        except Cancelled:
            trail.append("cancelled")
            raise

    def main() -> Steps:
        thread = newthread(worker)
        assert thread.cancel() is True
        assert trail == [], "not inside cancel()"
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert thread.cancel() is False

    run(main)
    assert trail == ["cancelled"]


def test_a_cancelled_thread_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    thread = newthread(pause, 1000)
    thread.cancel()
    assert start() is True
    assert thread.done
    assert caplog.text == ""


def test_somebody_elses_cancellation_is_an_error_like_others(caplog: pytest.LogCaptureFixture) -> None:
    def careless(thread: Thread[object]) -> Steps:
        yield from thread.join()

    victim = newthread(pause, 1000)
    newthread(careless, victim, name="careless")
    victim.cancel()
    start()
    assert "'careless'" in caplog.text


def test_cancel_can_be_survived_and_comes_once() -> None:
    def worker() -> Steps:
        try:
            yield from sleep(1000)
        except Cancelled:
            yield from sleep(0.01)
        return "survived"

    def main() -> Steps:
        thread = newthread(worker)
        thread.cancel()
        return (yield from thread.join())

    assert run(main) == "survived"


def test_what_has_finished_is_delivered_and_the_next_wait_is_cancelled() -> None:
    trail = []

    def worker() -> Steps:
        trail.append((yield from suspend()))
        yield from sleep(1000)

    def main() -> Steps:
        thread = newthread(worker)
        resume(thread, "delivered")
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == ["delivered"]


def test_a_thread_that_cancels_itself_is_cancelled_at_its_next_wait() -> None:
    def worker() -> Steps:
        currentthread().cancel()
        trail.append("still running")
        yield from sleep(1000)

    trail: list[str] = []
    thread = newthread(worker)
    start()
    assert trail == ["still running"]
    with pytest.raises(Cancelled):
        thread.result()


def test_cancel_from_another_os_thread() -> None:
    def main() -> Steps:
        canceller = threading.Thread(target=currentthread().cancel)
        canceller.start()
        try:
            yield from sleep(1000)
        finally:
            canceller.join()

    with pytest.raises(Cancelled):
        run(main)


def test_a_cancelled_join_leaves_the_thread_alone() -> None:
    def main() -> Steps:
        thread = newthread(suspend)
        joiner = newthread(thread.join())
        joiner.cancel()
        with pytest.raises(Cancelled):
            yield from joiner.join()
        assert not thread.done
        resume(thread)
        yield from thread.join()

    run(main)


def test_a_thread_that_failed_after_its_joiner_left_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def worker() -> Steps:
        yield from sleep(0.02)
        raise LookupError("lost")

    def main() -> Steps:
        thread = newthread(worker)
        with pytest.raises(TimeoutError), socket2.timeout(0.001):
            yield from thread.join()
        yield from sleep(0.05)

    run(main)
    assert "LookupError: lost" in caplog.text


# Suspending.


def test_suspend_and_resume() -> None:
    def worker() -> Steps:
        first = yield from suspend()
        second = yield from suspend()
        return first, second

    def main() -> Steps:
        thread = newthread(worker)
        resume(thread, 1)
        with pytest.raises(RuntimeError, match="not suspended"):
            resume(thread, "twice")
        yield from sleep(0)
        resume(thread)
        assert (yield from thread.join()) == (1, None)
        with pytest.raises(RuntimeError, match="not suspended"):
            resume(thread)

    run(main)


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_resume_of_a_thread_that_was_interrupted_and_has_not_run_since(shared: bool) -> None:
    """Nobody could know. The interruption wins, and the value is dropped."""
    if shared:
        joining.share(current_scheduler())
    suspended: list[Thread[object]] = []

    def worker() -> Steps:
        suspended.append(currentthread())
        try:
            with socket2.scope() as block:
                blocks.append(block)
                yield from suspend()
        finally:
            del suspended[:]

    def main() -> Steps:
        for whole in (True, False):
            thread = newthread(worker)
            while not suspended or not thread.waiting_on:
                yield from sleep(0)
            (thread if whole else blocks[-1]).cancel()
            for value in range(2):
                resume(suspended[0], value)
            with pytest.raises(Cancelled) if whole else nullcontext():
                yield from thread.join()
            with pytest.raises(RuntimeError, match="not suspended"):
                resume(thread)

    blocks: list[socket2.scope] = []
    run(main)


def test_two_threads_pass_a_token() -> None:
    rounds = 1000

    def player(peer: list[Thread[object]]) -> Steps:
        for _ in range(rounds):
            ball = yield from suspend()
            resume(peer[0], ball + 1)
        return ball

    def main() -> Steps:
        one: list[Thread[object]] = []
        other: list[Thread[object]] = []
        a, b = newthread(player, other), newthread(player, one)
        one.append(a)
        other.append(b)
        resume(a, 0)
        assert (yield from a.join()) == 2 * rounds - 2
        b.cancel()
        with pytest.raises((Cancelled, RuntimeError)):
            yield from b.join()

    run(main)


def test_resume_of_a_thread_that_waits_for_something_else() -> None:
    thread = newthread(pause, 0.01)
    with pytest.raises(RuntimeError, match="not suspended"):
        resume(thread)
    start()


def test_resume_from_another_os_thread() -> None:
    """No deadlock is reported while another OS thread might resume the thread."""

    def main() -> Steps:
        me = currentthread()

        def resumes() -> None:
            while me.waiting_on is None:
                pass
            resume(me, "from outside")

        os_thread = threading.Thread(target=resumes)
        os_thread.start()
        try:
            return (yield from suspend())
        finally:
            os_thread.join()

    assert run(main) == "from outside"
