"""portal: the end of calls, of loops and of portals. Nobody hangs, and nothing is left."""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Event, currentthread, portal, run, sleep, start, stop, suspend
from socket2.threads.member import current_member

from ..garbage import left_by
from ..interop.peers import LIMIT_S, ROOT, Program, beside
from ..servers.test_server import until
from .test_portal import generator, plain, with_portal

Steps = Generator[Any, Any, Any]


# The end.


def never(begun: threading.Event, ended: list[str]) -> Steps:
    begun.set()
    try:
        yield from suspend()
    except Cancelled:
        ended.append("cancelled")
        raise


@pytest.mark.parametrize("how", ["run returns", "run raises", "stop", "close", "block", "async block"])
def test_calls_in_progress_end_with_the_loop_or_the_portal(how: str) -> None:
    begun, ended = threading.Event(), list[str]()

    def other() -> str:
        future = p.spawn(suspend)
        with pytest.raises(RuntimeError, match="has ended|has been closed") as caught:
            p.call(never, begun, ended)
        with pytest.raises(RuntimeError, match="has ended|has been closed"):
            future.result(LIMIT_S)
        with pytest.raises(RuntimeError, match="has ended|has been closed"):
            p.call(plain, 1)
        with pytest.raises(RuntimeError, match="has ended|has been closed"):
            p.spawn(plain, 1)
        return str(caught.value)

    def main() -> Steps:
        yield from until(begun.is_set)
        if how == "run raises":
            raise LookupError
        if how == "stop":
            stop()
        elif how == "close":
            p.close()
            yield from until(lambda: bool(ended))
        elif how == "block":
            with p:
                pass
            yield from until(lambda: bool(ended))
        elif how == "async block":
            yield from p.__aexit__(None, None, None)
            assert ended

    p = portal()
    with beside(other) as thread:
        try:
            run(main)
        except (LookupError, RuntimeError):
            assert how in ("run raises", "stop")
    assert ("closed" if how in ("close", "block", "async block") else "loop") in thread.outcome()
    p.close()
    assert start()  # lets the threads of the calls end
    assert ended == ["cancelled"]


def test_a_loop_that_runs_again_takes_calls_again() -> None:
    with portal() as p:
        run(lambda: None)
        with pytest.raises(RuntimeError, match="loop of this portal has ended"):
            p.spawn(plain, 1)

        def main() -> Steps:
            future = p.spawn(plain, 1)
            yield from until(future.done)
            return future.result()

        assert run(main) == 1


def test_a_call_may_close_its_own_portal() -> None:
    def closes() -> Generator[Any, None, str]:
        p.close()
        yield from sleep(0.001)
        return "closed"

    with portal() as p, beside(lambda: p.call(closes)) as thread:
        assert start()
    assert thread.outcome() == "closed"


def test_a_loop_whose_os_thread_has_gone_without_running_it() -> None:
    made: list[portal] = []

    def owner() -> None:
        made.append(portal())

    with beside(owner):
        pass
    with pytest.raises(RuntimeError, match="loop of this portal has ended"):
        made.pop().call(plain, 1)


PROGRAM = """
import threading, socket2
p = socket2.portal()
def other():
    try:
        p.call(print, "never")
    except RuntimeError as error:
        print(error)
threading.Thread(target=other).start()
"""


def test_a_program_that_ends_without_a_loop_ends() -> None:
    with Program([sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(ROOT)}) as running:
        assert running.wait() == 0
        assert running.stdout() == b"the loop of this portal has ended\n"


def test_a_loop_that_was_shut_down() -> None:
    made: list[portal] = []

    def owner() -> None:
        made.append(portal())
        current_member().close()

    with beside(owner):
        pass
    with pytest.raises(RuntimeError, match="loop of this portal has ended"):
        made[0].call(plain, 1)
    with pytest.raises(RuntimeError, match="loop of this portal has ended"):
        made[0].spawn(plain, 1).result()
    made[0].close()


# Nothing is left.


def test_nothing_is_left_for_the_collector() -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise LookupError

    def other(p: portal) -> None:
        p.call(generator, 1)
        p.spawn(generator, 1).result(LIMIT_S)
        wrong: list[Callable[..., object]] = [fails, plain]
        for func in wrong:
            try:
                p.call(func)
            except (LookupError, TypeError):
                pass
        p.spawn(fails).exception(LIMIT_S)
        future = p.spawn(suspend)
        p.call(sleep, 0)
        future.cancel()
        p.call(sleep, 0)

    def whole() -> None:
        with_portal(other)
        start()

    assert left_by(whole) == []


def test_a_future_keeps_no_arguments() -> None:
    class Big:
        pass

    def other(p: portal) -> None:
        big = Big()
        future = p.spawn(repr, big)
        assert "Big" in future.result(LIMIT_S)
        p.call(sleep, 0)
        gone = weakref.ref(big)
        del big
        assert gone() is None
        assert future.done()

    with_portal(other)


def test_a_signal_handler_that_closes_the_portal_runs_no_callbacks() -> None:
    where: list[str] = []

    def main() -> Steps:
        future = p.spawn(suspend)
        future.add_done_callback(lambda future: where.append("handler" if handling else "loop"))
        yield from sleep(0)
        signal.raise_signal(signal.SIGTERM)
        assert repr(p) == "<portal, closed, 1 calls>"
        yield from until(future.done)
        yield from sleep(0)
        with pytest.raises(RuntimeError, match="has been closed"):
            future.result()

    def handler(signum: int, frame: object) -> None:
        handling.append(signum)
        p.close()
        handling.clear()

    handling: list[int] = []
    p = portal()
    before = signal.signal(signal.SIGTERM, handler)
    run(main)
    signal.signal(signal.SIGTERM, before)
    assert where == ["loop"]


# Cancelling.


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    reported: list[BaseException] = []
    monkeypatch.setattr(socket2.thread, "crashhook", lambda thread, error: reported.append(error))
    yield reported
    reported.clear()


def test_cancelling_the_future_cancels_the_thread(crashes: list[BaseException]) -> None:
    def other(p: portal) -> None:
        begun, ended = threading.Event(), list[str]()
        first, second = p.spawn(never, begun, ended), p.spawn(suspend)
        assert begun.wait(LIMIT_S)
        assert not first.running()
        assert first.cancel()
        assert first.cancelled()
        assert wait([first, second], LIMIT_S, FIRST_COMPLETED).done == {first}
        with pytest.raises(CancelledError):
            first.result()
        second.cancel()
        p.call(until, lambda: bool(ended))
        assert not p._calls

    with_portal(other)
    assert not crashes


def test_cancelling_before_the_call_has_begun() -> None:
    called: list[int] = []
    with portal() as p:
        future = p.spawn(called.append, 1)
        assert future.cancel()
        start(0)
    assert not called
    assert start()


def test_what_fails_after_its_cancellation_is_reported(crashes: list[BaseException]) -> None:
    def fails() -> Steps:
        begun.set()
        try:
            yield from suspend()
        finally:
            raise LookupError("in the cleanup")

    def other(p: portal) -> None:
        future = p.spawn(fails)
        assert begun.wait(LIMIT_S)
        future.cancel()
        p.call(until, lambda: bool(crashes))

    begun = threading.Event()
    with_portal(other)
    assert [type(error) for error in crashes] == [LookupError]


def test_a_thread_that_was_cancelled_from_inside() -> None:
    def cancels() -> Steps:
        currentthread().cancel()
        yield from sleep(LIMIT_S)

    def other(p: portal) -> None:
        with pytest.raises(CancelledError):
            p.call(cancels)
        assert p.spawn(cancels).cancelled() or True
        future = p.spawn(cancels)
        wait([future], LIMIT_S)
        assert future.cancelled()

    with_portal(other)


def test_what_has_finished_is_delivered_in_spite_of_a_cancel() -> None:
    def main() -> Steps:
        event = Event()
        future = p.spawn(event.wait)
        yield from sleep(0)
        call = next(iter(p._calls))
        event.set()
        assert call.thread is not None
        call.thread.cancel()
        yield from until(future.done)
        assert future.result() is None

    with portal() as p:
        run(main)
