"""signals(): what cannot be caught, and loops of other OS threads than the main one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import Event, newthread, run, signals, sleep, start
from socket2.threads import catching
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, local

from ..contract.kinds import make, names
from ..interop.peers import LIMIT_S, OSThread, beside
from ..servers.test_server import until
from . import test_signals
from .test_signals import INT, TERM, take, unix_only

handlers_are_as_they_were = test_signals.handlers_are_as_they_were

Steps = Generator[Any, Any, Any]


# What cannot be caught.


@pytest.mark.parametrize(
    ("numbers", "error", "match"),
    [
        ((), ValueError, "at least one"),
        ((0,), ValueError, "no signal 0"),
        ((signal.NSIG,), ValueError, "no signal"),
        ((-1,), ValueError, "no signal"),
        (("TERM",), TypeError, "integer"),
        ((1.0,), TypeError, "integer"),
    ],
)
def test_what_is_no_signal(numbers: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        signals(*numbers)


@unix_only
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_what_the_system_lets_nobody_catch(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be caught"):
        signals(TERM, getattr(signal, name))


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.signal

    def refuse(signum: int, handler: Any) -> Any:
        if signum == INT and handler is catching._note:
            raise OSError("refused")
        return real(signum, handler)

    monkeypatch.setattr("socket2.threads.catching.signal.signal", refuse)


@pytest.mark.usefixtures("refused")
def test_what_the_system_refuses_leaves_no_handler() -> None:
    async def waits() -> None:
        async with signals(TERM, INT):
            raise AssertionError

    with pytest.raises(OSError, match="refused"), signals(TERM, INT):
        raise AssertionError
    with pytest.raises(OSError, match="refused"):
        run(waits)


# Other OS threads.


def elsewhere(main: Any) -> Any:
    try:
        return run(main)
    finally:
        current_member().close()


def test_where_the_main_os_thread_runs_no_loop_it_is_refused() -> None:
    def main() -> Steps:
        with pytest.raises(RuntimeError, match=r"SIGTERM.*main OS thread"), signals(TERM):
            raise AssertionError
        got = signals(TERM)
        with pytest.raises(RuntimeError, match=r"SIGTERM.*main OS thread"):
            yield from got.__aenter__()

    with beside(elsewhere, main):
        pass


def test_a_loop_of_another_os_thread_takes_what_the_main_one_handles() -> None:
    ready, over = threading.Event(), threading.Event()

    async def other() -> list[int]:
        taken = []
        async with signals(TERM) as got:
            ready.set()
            async for signum in got:
                taken.append(signum)
                if len(taken) == 2:
                    break
        over.set()
        return taken

    def main() -> Steps:
        with beside(elsewhere, other) as running:
            yield from until(ready.is_set)
            signal.raise_signal(TERM)
            signal.raise_signal(TERM)
            yield from until(over.is_set)
            assert running.outcome() == [TERM, TERM]
        yield from sleep(0)

    run(main)


@pytest.mark.usefixtures("refused")
def test_another_os_thread_is_told_that_the_system_refuses() -> None:
    entered, over = threading.Event(), threading.Event()

    def other() -> Steps:
        try:
            with signals(INT) as got:
                entered.set()
                with pytest.raises(RuntimeError, match="cannot catch SIGINT: refused"):
                    yield from got.next()
                with pytest.raises(RuntimeError, match="cannot catch SIGINT: refused"):
                    yield from got.next()
        finally:
            over.set()

    def main() -> Steps:
        with beside(elsewhere, other):
            assert entered.wait(LIMIT_S)  # before this OS thread gets to it
            yield from until(over.is_set)
        yield from sleep(0)

    run(main)


def test_a_block_that_outlasts_the_loop_of_the_main_os_thread() -> None:
    """Nobody can restore the handler when the block ends. The next signal does, and reaches the restored handler."""
    begun, go_on = threading.Event(), threading.Event()
    handled: list[int] = []

    async def other() -> None:
        async with signals(TERM, INT):
            begun.set()
            go_on.wait(LIMIT_S)
            signal.raise_signal(TERM)  # nobody takes it
            await sleep(0)

    def handler(signum: int, frame: object) -> None:
        handled.append(signum)

    def main() -> Steps:
        running.start()
        yield from until(begun.is_set)

    running = OSThread(elsewhere, other)
    before = signal.signal(TERM, handler)
    run(main)
    go_on.set()
    running.join(LIMIT_S)
    running.outcome()
    assert handled == [TERM]
    assert signal.getsignal(TERM) is handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)
    signal.raise_signal(TERM)
    assert handled == [TERM, TERM]
    signal.signal(TERM, before)


def test_any_of_several_os_threads_runs_the_block() -> None:
    taken: list[int] = []

    def main() -> Steps:
        with signals(TERM) as got:
            while threading.current_thread() is threading.main_thread():
                newthread(block)
                yield from sleep(0.001)
            signal.raise_signal(TERM)
            yield from take(got, 1, taken)

    def block() -> Steps:
        yield from sleep(0)
        if threading.current_thread() is threading.main_thread():
            threading.Event().wait(0.02)

    thread = newthread(main)
    socket2.serve_threads(2)
    thread.result()
    assert taken == [TERM]


@pytest.fixture(params=[kind for kind, manner in names() if manner == "bare"])
def poller(request: pytest.FixtureRequest) -> None:
    local.scheduler = Scheduler(make(request.param))


@unix_only
@pytest.mark.usefixtures("poller")
def test_a_signal_wakes_the_loop_from_its_sleep() -> None:
    """The kernel sends it while the loop waits for events."""

    def main() -> Steps:
        with signals(signal.SIGALRM) as got:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return (yield from got.next(LIMIT_S))

    assert run(main) == signal.SIGALRM


def test_the_programs_handlers_are_looked_at_only_if_nothing_else_is_left_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event, looked = Event(), list[bool]()

    def look() -> bool:
        looked.append(True)
        return False

    def main() -> Steps:
        yield from sleep(0.001)
        with signals(TERM) as got, pytest.raises(TimeoutError):
            yield from got.next(0.001)

    monkeypatch.setattr("socket2.threads.member.may_wake", look)
    run(main)
    assert not looked
    with pytest.raises(RuntimeError, match="deadlock"):
        run(event.wait)
    assert looked
    event.set()
    start()
