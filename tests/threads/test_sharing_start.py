"""If several OS threads serve, a new thread never delays the thread that started it."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, debug, newthread, run, serve_threads, sleep, suspend, threadset
from socket2.servers.server import Server

from ..interop.peers import LIMIT_S, beside, connect

Steps = Generator[Any, Any, Any]


def served(main: Callable[[], Steps], count: int = 2) -> Any:
    thread = newthread(main)
    assert serve_threads(count) is True
    return thread.result()


def comes(event: threading.Event) -> None:
    """Block this OS thread until `event` is set."""
    assert event.wait(LIMIT_S)


class Blocking:
    """Callables of each kind whose first step, or whose call, blocks until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def plain(self) -> str:
        comes(self.go)
        return "done"

    def generator(self) -> Steps:
        comes(self.go)
        yield from sleep(0)
        return "done"

    async def coroutine(self) -> str:
        comes(self.go)
        return "done"

    def makes_a_generator(self) -> Steps:
        comes(self.go)
        return self.generator()

    def __call__(self, *_: object) -> str:
        return self.plain()


KINDS: dict[str, Callable[[Blocking], Any]] = {
    "plain": lambda blocking: blocking.plain,
    "generator function": lambda blocking: blocking.generator,
    "coroutine function": lambda blocking: blocking.coroutine,
    "generator": lambda blocking: blocking.generator(),
    "coroutine": lambda blocking: blocking.coroutine(),
    "plain that makes a generator": lambda blocking: blocking.makes_a_generator,
    "partial": lambda blocking: functools.partial(blocking.plain),
    "callable": lambda blocking: blocking,
    "in C": lambda blocking: functools.partial(map(blocking, [1]).__next__),
}


@pytest.mark.parametrize("starts", ["newthread", "threadset"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step_is_not_part_of_the_creators(kind: str, starts: str) -> None:
    blocking = Blocking()

    def main() -> Steps:
        yield from sleep(0)
        if starts == "newthread":
            thread = newthread(KINDS[kind](blocking))
            blocking.go.set()
            return (yield from thread.join())
        with threadset(keep_outcomes=True) as ts:
            ts.newthread(KINDS[kind](blocking))
            blocking.go.set()
            return (yield from ts.join())[0]

    assert served(main) == "done"


def test_what_is_no_thread_is_refused_by_the_call() -> None:
    async def agen() -> AsyncGenerator[int, None]:
        yield 1

    def plain(one: int) -> int:
        return one

    def generator(one: int) -> Steps:
        yield from sleep(one)

    def main() -> Steps:
        yield from sleep(0)
        with threadset(keep_outcomes=True) as ts:
            starts: list[Callable[..., Any]] = [newthread, ts.newthread]
            for start in starts:
                for bad in [(plain,), (plain, 1, 2), (generator,), (len,), (1,), (agen,), (generator(1), 2)]:
                    with pytest.raises(TypeError):
                        start(*bad)
                    if hasattr(bad[0], "close"):
                        bad[0].close()
            assert (yield from ts.join()) == []
        return "done"

    assert served(main) == "done"


def test_a_mistake_inside_a_plain_function_ends_the_thread() -> None:
    def wrong() -> None:
        raise TypeError("of its own")

    def main() -> Steps:
        yield from sleep(0)
        thread = newthread(wrong)
        with pytest.raises(TypeError, match="of its own"):
            yield from thread.join()

        def makes_an_async_generator() -> object:
            async def agen() -> AsyncGenerator[int, None]:
                yield 1

            return agen()

        with pytest.raises(TypeError, match="async generator"):
            yield from newthread(makes_an_async_generator).join()
        return "done"

    assert served(main) == "done"


def test_a_thread_cancelled_before_its_first_step_takes_that() -> None:
    """It still makes its first step, as it does without sharing, so that it can clean up."""
    seen = []

    def careful() -> Steps:
        seen.append("began")
        try:
            yield from sleep(LIMIT_S)
        except Cancelled:
            seen.append("cancelled")
            raise

    def main() -> Steps:
        yield from sleep(0)
        thread = newthread(careful)
        assert thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        return seen

    assert served(main) == ["began", "cancelled"]


def test_leaving_a_block_does_not_wait_for_what_its_members_do_then() -> None:
    left = threading.Event()
    begun = threading.Event()

    def member() -> Steps:
        try:
            begun.set()
            yield from suspend()
        finally:
            comes(left)

    def main() -> Steps:
        yield from sleep(0)
        with threadset() as ts:
            thread = ts.newthread(member)
            while not begun.is_set() or thread.waiting_on is None:
                yield from sleep(0)
            ts.cancel()
        left.set()
        with pytest.raises(Cancelled):
            yield from thread.join()
        return "done"

    assert served(main) == "done"


@pytest.mark.parametrize("kind", ["generator", "plain"])
def test_a_handler_that_blocks_does_not_keep_its_server_from_accepting(kind: str) -> None:
    """The request has arrived before the accept, so its receive does not wait."""
    pinged = threading.Event()
    met: list[bool] = []
    calls: list[socket2.TCP] = []

    def greet(conn: socket2.TCP) -> Steps:
        yield from conn.sendall(b"answer")

    def answer(conn: socket2.TCP) -> Steps:
        request = yield from conn.recv(100)
        if request == b"block":
            met.append(pinged.wait(LIMIT_S))
        else:
            pinged.set()
        yield from conn.sendall(b"answer")

    def plain(conn: socket2.TCP) -> Steps | None:
        """Blocks in the call."""
        calls.append(conn)
        if len(calls) == 1:
            met.append(pinged.wait(LIMIT_S))
        pinged.set()
        return greet(conn)

    def main() -> Steps:
        server = Server(answer if kind == "generator" else plain)
        yield from server.listen("127.0.0.1")
        port = int(server.addresses[0][1])
        yield from sleep(0)
        with connect("127.0.0.1", port) as first, connect("127.0.0.1", port) as second:
            first.sendall(b"block")
            second.sendall(b"ping")
            with beside(second.recv, 100) as answered:
                yield from socket2.call_in_thread(answered.join)
            yield from socket2.call_in_thread(first.recv, 100)
        yield from server.stop()
        return met

    assert served(main, 3) == [True]


def test_the_watchdog_blames_who_blocks_and_not_who_accepts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "socket2")

    def greedy() -> Steps:
        deadline = threading.Event()
        deadline.wait(0.2)
        yield from sleep(0)

    def acceptor() -> Steps:
        yield from sleep(0)
        yield from newthread(greedy, name="greedy").join()

    debug.enable(0.05, None, False)
    try:
        newthread(acceptor, name="acceptor")
        assert serve_threads(2) is True
    finally:
        debug.disable()
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("thread 'greedy' ") for text in texts)
    assert not any("'acceptor'" in text.splitlines()[0] for text in texts)


def test_alone_a_thread_still_starts_inside_the_call() -> None:
    seen = []

    def child() -> None:
        seen.append("child")

    def main() -> Steps:
        newthread(child)
        seen.append("main")
        yield from sleep(0)

    run(main)
    assert seen == ["child", "main"]
