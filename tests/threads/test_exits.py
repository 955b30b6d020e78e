"""SystemExit of a thread or a signal handler: run() cancels its main thread, lets it clean up, and raises it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from subprocess import PIPE
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Event,
    Process,
    first,
    gather,
    newthread,
    process,
    run,
    serve_threads,
    sleep,
    start,
    threadset,
)
from socket2.threads import joining
from socket2.threads.scheduler import current_scheduler
from socket2.threads.thread import report

from ..garbage import left_by
from ..injection import PlacedInjection, at_each_place
from ..interop.peers import LIMIT_S
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX signals")


class Exits(SystemExit):
    """Raised by a signal handler."""


@pytest.fixture(autouse=True)
def ends_all() -> Iterator[None]:
    yield
    for thread in list(current_scheduler().threads):
        thread.cancel()
    assert start(LIMIT_S)


def exits(code: int) -> Steps:
    yield from sleep(0)
    sys.exit(code)


class Main:
    """A main thread that cleans up, and waits for that."""

    def __init__(self) -> None:
        self.begun = self.cleaned_up = False

    def __call__(self, *others: Any) -> Steps:
        try:
            self.begun = True
            for other in others:
                newthread(other)
            yield from sleep(1e6)
        finally:
            for _ in range(5):
                yield from sleep(0)
            self.cleaned_up = True


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("other", [partial(exits, 3), partial(sys.exit, 3)], ids=["later", "at once"])
def test_main_cleans_up_first(other: Callable[[], object], shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    main = Main()
    with pytest.raises(SystemExit) as raised:
        run(main, other)
    assert raised.value.code == 3
    assert main.cleaned_up
    assert run(lambda: "fine") == "fine"


def test_an_async_main_cleans_up_first() -> None:
    cleaned_up = []

    async def main() -> None:
        newthread(exits, 3)
        try:
            await sleep(1e6)
        finally:
            await sleep(0)
            cleaned_up.append(True)

    with pytest.raises(SystemExit, match="3"):
        run(main)
    assert cleaned_up


def test_an_exit_is_not_lost_if_main_returns() -> None:
    def main() -> Steps:
        newthread(exits, 3)
        try:
            yield from sleep(1e6)
        except Cancelled:
            return "fine"

    with pytest.raises(SystemExit, match="3"):
        run(main)


def test_an_error_of_the_cleanup_is_raised() -> None:
    def main() -> Steps:
        newthread(exits, 3)
        try:
            yield from sleep(1e6)
        finally:
            raise LookupError("of the cleanup")

    with pytest.raises(LookupError, match="of the cleanup"):
        run(main)


def test_a_second_exit_is_raised_at_once() -> None:
    def main() -> Steps:
        newthread(exits, 3)
        try:
            yield from sleep(1e6)
        finally:
            newthread(exits, 4)
            yield from sleep(1e6)

    with pytest.raises(SystemExit, match="4"):
        run(main)
    assert [thread.name.rpartition(".")[2] for thread in current_scheduler().threads] == ["main"]


def test_what_else_a_thread_raises_leaves_main_alone(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> Steps:
        newthread(fails)
        yield from sleep(0.001)
        return "fine"

    def fails() -> Steps:
        yield from sleep(0)
        raise GeneratorExit("of a thread")

    assert run(main) == "fine"
    assert "of a thread" in caplog.text


# Threads that get it from other threads.


def waits_for_an_exit() -> Steps:
    with threadset() as ts:
        ts.newthread(exits, 3)
        yield from ts.join()


def joins_an_exit() -> Steps:
    yield from newthread(exits, 3).join()


@pytest.mark.parametrize("main", [waits_for_an_exit, joins_an_exit])
def test_the_next_run_is_innocent(main: Callable[[], Steps]) -> None:
    with pytest.raises(SystemExit, match="3"):
        run(main)
    assert run(partial(sleep, 0.001)) is None


@pytest.mark.parametrize("other", [waits_for_an_exit, joins_an_exit])
def test_it_leaves_the_loop_once(other: Callable[[], Steps], caplog: pytest.LogCaptureFixture) -> None:
    thread = newthread(other)
    with pytest.raises(SystemExit, match="3"):
        start()
    assert start() is True
    assert isinstance(thread.error, SystemExit)
    main = Main()
    with pytest.raises(SystemExit, match="3"):
        run(main, other)
    assert main.cleaned_up
    assert run(partial(sleep, 0.001)) is None
    assert caplog.text == ""


def test_the_same_object_can_be_raised_again_later() -> None:
    error = SystemExit(3)

    def raises() -> Steps:
        yield from sleep(0)
        raise error

    for _ in range(2):
        main = Main()
        with pytest.raises(SystemExit) as raised:
            run(main, raises)
        assert raised.value is error
        assert main.cleaned_up


@pytest.mark.parametrize("main", [Main, lambda: waits_for_an_exit, lambda: joins_an_exit])
def test_no_cycle_is_left(main: Callable[[], Callable[..., Steps]]) -> None:
    def attempt() -> None:
        made = main()
        with suppress(SystemExit):
            run(made, *([partial(exits, 3)] if isinstance(made, Main) else []))

    assert left_by(attempt) == []


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with an error of another one"])
@pytest.mark.parametrize("way", ["threadset", "gather", "first"])
def test_an_exit_of_a_member_is_not_reported(way: str, others: int, caplog: pytest.LogCaptureFixture) -> None:
    """Another member's cleanup waits, so main is cancelled while it waits for the group."""

    async def cleans_up() -> None:
        try:
            await sleep(1e6)
        finally:
            await sleep(0.001)
            if others:
                raise LookupError("of the cleanup")

    async def main() -> None:
        if way == "threadset":
            async with threadset() as ts:
                ts.newthread(cleans_up)
                ts.newthread(exits, 3)
        else:
            await (gather if way == "gather" else first)(cleans_up, partial(exits, 3))

    with pytest.raises(SystemExit, match="3"):
        run(main)
    assert caplog.text.count("of the cleanup") == 2 * others  # the traceback has the line, and the message
    assert "SystemExit" not in caplog.text


def test_a_group_of_exits_and_errors_is_reported_without_the_exits(caplog: pytest.LogCaptureFixture) -> None:
    error = BaseExceptionGroup("two errors", [SystemExit(3), LookupError("of a member")])
    thread = newthread(lambda: None)
    report(thread, error)
    assert "of a member" in caplog.text
    assert "SystemExit" not in caplog.text
    caplog.clear()
    report(thread, BaseExceptionGroup("two exits", [SystemExit(3), KeyboardInterrupt()]))
    assert caplog.text == ""


# Several OS threads, and signal handlers.


def test_serve_threads_raises_it_at_once() -> None:
    main = newthread(Main(), partial(exits, 3))
    with pytest.raises(SystemExit, match="3"):
        serve_threads(2)
    assert not main.done


@needs_signals
def test_a_signal_handler_that_exits_while_the_loop_is_idle() -> None:
    def handler(number: int, frame: Any) -> None:
        raise Exits(7)

    def send() -> None:
        assert idle.wait(LIMIT_S)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    idle = threading.Event()
    sender = threading.Thread(target=send)
    main = Main()
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        sender.start()
        with pytest.raises(Exits, match="7"):
            run(main, lambda: current_scheduler().post(idle.set))
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert main.cleaned_up


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_a_signal_handler_that_exits_anywhere_in_the_loop(shared: bool) -> None:
    """Not in the first step of main, which run() makes before its loop."""
    if shared:
        joining.share(current_scheduler())

    def attempt(injection: PlacedInjection) -> None:
        def main() -> Steps:
            event = Event()
            newthread(sets, event)
            try:
                yield from sleep(0)
                injection.__enter__()
                yield from event.wait()
                yield from sleep(0.0001)
                yield from sleep(0)
                injection.__exit__(None, None, None)
                ended.append("in time")
            finally:
                ended.append("cleaned up")

        def sets(event: Event) -> Steps:
            yield from sleep(0)
            event.set()

        ended: list[str] = []
        try:
            run(main)
        except Exits:
            assert "cleaned up" in ended, injection.where
        else:
            assert ended == ["in time", "cleaned up"], injection.where
        assert start(LIMIT_S), injection.where

    places = modules_in("socket2/threads", "member stepping outcome crew inbox timers scheduler wait sleeping events")
    assert at_each_place(attempt, places, Exits) > 30


@needs_signals
def test_no_process_is_left_behind() -> None:
    children: list[Process] = []

    def main() -> Steps:
        with process([sys.executable, "-c", "input()"], stdin=PIPE) as child:
            children.append(child)
            newthread(exits, 3)
            yield from child.wait()

    with pytest.raises(SystemExit, match="3"):
        run(main)
    with pytest.raises(ProcessLookupError):
        os.kill(children[0].pid, 0)
