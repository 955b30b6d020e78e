"""Our loop inside another one, which here is a loop around select(2)."""

from __future__ import annotations

import contextlib
import io
import select
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
import sniffio

import pollers
import socket2
from pollers.readiness.select import Select
from socket2.threads.embedded import Embedded
from socket2.threads.scheduler import Scheduler, current_scheduler, local

PATIENCE_S = 20.0


def can_be_watched() -> bool:
    poller = pollers.choose(checked=False)
    try:
        poller.watch()
    except io.UnsupportedOperation:
        return False
    finally:
        poller.shutdown()
    return True


pytestmark = pytest.mark.skipif(not can_be_watched(), reason="no other loop can wait for this poller")


@pytest.fixture
def embedded() -> Iterator[Embedded]:
    embedded = Embedded()
    embedded.begin()
    yield embedded
    embedded.end()


def wait_and_turn(embedded: Embedded) -> bool:
    """What another loop does."""
    due_s = embedded.due_s()
    select.select([embedded.fileno()], [], [], PATIENCE_S if due_s is None else min(due_s, PATIENCE_S))
    return embedded.turn()


def until(embedded: Embedded, condition: Callable[[], bool]) -> None:
    give_up = socket2.now() + PATIENCE_S
    while not condition():
        assert socket2.now() < give_up
        wait_and_turn(embedded)


def outcome(embedded: Embedded, thread: socket2.Thread[Any]) -> Any:
    until(embedded, lambda: thread.done)
    return thread.result()


def test_threads_run(embedded: Embedded) -> None:
    def echo(sock: socket2.TCP) -> Generator[Any, None, None]:
        with sock:
            yield from sock.sendall((yield from sock.recv(10)))

    def client() -> Generator[Any, None, bytes]:
        with socket2.listen("127.0.0.1", 0) as listener:
            sock = yield from socket2.connect(*listener.getsockname())
            with sock:
                socket2.newthread(echo, (yield from listener.accept()))
                yield from sock.sendall(b"hello")
                return (yield from sock.recv(10))

    assert outcome(embedded, socket2.newthread(client)) == b"hello"
    assert embedded.due_s() is None


def test_sleeps_end(embedded: Embedded) -> None:
    woken: list[int] = []

    def sleeper(number: int) -> Generator[Any, None, None]:
        yield from socket2.sleep(number / 100)
        woken.append(number)

    for number in (3, 1, 2):
        socket2.newthread(sleeper, number)
    due_s = embedded.due_s()
    assert due_s is None or due_s < 1
    until(embedded, lambda: len(woken) == 3)
    assert sorted(woken) == [1, 2, 3]


def test_an_earlier_timer_ends_the_wait_of_the_other_loop(embedded: Embedded) -> None:
    slow = socket2.newthread(socket2.sleep, 1000)
    while embedded.due_s() == 0:
        embedded.turn()
    fast = socket2.newthread(socket2.sleep, 0.001)
    assert select.select([embedded.fileno()], [], [], PATIENCE_S)[0]
    outcome(embedded, fast)
    slow.cancel()
    with pytest.raises(socket2.Cancelled):
        outcome(embedded, slow)


def test_calls_from_other_os_threads_end_the_wait(embedded: Embedded) -> None:
    def calls() -> Generator[Any, None, str]:
        return (yield from socket2.call_in_thread(str, 42))

    assert outcome(embedded, socket2.newthread(calls)) == "42"

    def from_outside() -> None:
        answers.append(portal.call(lambda: 42))
        embedded.scheduler.poller.wakeup()

    answers: list[int] = []
    with socket2.portal() as portal:
        os_thread = threading.Thread(target=from_outside)
        os_thread.start()
        until(embedded, lambda: bool(answers))
        os_thread.join()
    assert answers == [42]


def test_the_other_loop_ends_waits_between_turns(embedded: Embedded) -> None:
    event, queue = socket2.Event(), socket2.Queue[int]()

    def waits() -> Generator[Any, None, int]:
        yield from event.wait()
        return (yield from queue.get())

    waiting, suspended = socket2.newthread(waits), socket2.newthread(socket2.suspend)
    event.set()
    queue.put_nowait(3)
    socket2.resume(suspended, "value")
    assert outcome(embedded, waiting) == 3
    assert outcome(embedded, suspended) == "value"
    with pytest.raises(RuntimeError, match="not suspended"):  # it is told, as in a thread
        socket2.resume(suspended)


def test_signals_reach_threads(embedded: Embedded) -> None:
    def waits() -> Generator[Any, None, int]:
        with socket2.signals(signal.SIGTERM) as received:
            ready.append(True)
            return (yield from received.next())

    ready: list[bool] = []
    thread = socket2.newthread(waits)
    until(embedded, lambda: bool(ready))
    signal.raise_signal(signal.SIGTERM)
    assert outcome(embedded, thread) == signal.SIGTERM


def test_what_leaves_the_loop_leaves_turn(embedded: Embedded) -> None:
    def leaves() -> Generator[Any, None, None]:
        yield from socket2.sleep(0)
        raise SystemExit(3)

    socket2.newthread(leaves)
    with pytest.raises(SystemExit):
        until(embedded, lambda: False)
    assert outcome(embedded, socket2.newthread(socket2.sleep, 0)) is None


def test_names_in_sniffio_and_hooks_are_those_of_the_running_loop(embedded: Embedded) -> None:
    names: list[str] = []

    def asks() -> Generator[Any, None, None]:
        yield from socket2.sleep(0)
        names.append(sniffio.current_async_library())
        assert sys.get_asyncgen_hooks() != hooks

    hooks = sys.get_asyncgen_hooks()
    thread = socket2.newthread(asks)
    outcome(embedded, thread)
    assert names == ["socket2"]
    assert sys.get_asyncgen_hooks() == hooks
    with pytest.raises(sniffio.AsyncLibraryNotFoundError):
        sniffio.current_async_library()


def test_a_raising_signal_handler_leaves_no_name_behind(embedded: Embedded) -> None:
    def raises() -> Generator[Any, None, None]:
        yield from socket2.sleep(0)
        signal.raise_signal(signal.SIGUSR1)

    def handler(signum: int, frame: object) -> None:
        raise ArithmeticError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = socket2.newthread(raises)
        with contextlib.suppress(ArithmeticError):
            outcome(embedded, thread)
        assert sniffio.thread_local.name is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_threads_that_are_left_continue_later() -> None:
    embedded = Embedded()
    embedded.begin()
    event = socket2.Event()
    thread = socket2.newthread(event.wait)
    embedded.end()
    assert local.member is not embedded
    event.set()
    socket2.run(thread.join)


def test_no_other_loop_runs_meanwhile(embedded: Embedded) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        socket2.start()
    with pytest.raises(RuntimeError, match="already running"):
        Embedded().begin()
    with pytest.raises(RuntimeError, match="already running"):
        embedded.begin()


def test_no_other_os_thread_joins(embedded: Embedded) -> None:
    poller = current_scheduler().poller
    errors: list[BaseException] = []

    def joins() -> None:
        try:
            getattr(socket2, f"{poller.name}_fd")(poller.fileno())
        except RuntimeError as error:
            errors.append(error)

    os_thread = threading.Thread(target=joins)
    os_thread.start()
    os_thread.join()
    assert "another event loop" in str(errors[0])


def test_a_poller_that_cannot_be_watched_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(Select())
    monkeypatch.setattr(local, "scheduler", scheduler)
    monkeypatch.setattr(local, "member", None)
    with pytest.raises(io.UnsupportedOperation, match="select"):
        Embedded().begin()
    scheduler.poller.shutdown()
