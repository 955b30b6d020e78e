"""What debugging reports about the threads of this process, and that it changes nothing for them."""

from __future__ import annotations

import gc
import inspect
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import debug, newthread, run, sleep, suspend, tcp, timeout
from socket2.debug import ThreadInfo

from ..interop.peers import LIMIT_S, OSThread

Steps = Generator[Any, None, Any]


@pytest.fixture
def enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch debugging on, without the parts that concern the whole process."""
    monkeypatch.setenv("SOCKET2_DEBUG_DIR", str(tmp_path / "d"))
    debug.enable(None, None, False)
    yield
    debug.disable()


@contextmanager
def pair() -> Iterator[tuple[socket2.TCP, socket2.TCP]]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with tcp(fileno=one.detach()) as left, tcp(fileno=other.detach()) as right:
        yield left, right


def about(thread: socket2.Thread[object]) -> ThreadInfo:
    (info,) = [info for info in debug.threads() if info.thread is thread]
    return info


def during(*threads: socket2.Thread[object], then: Callable[[], object]) -> None:
    """Call `then` in a thread, while others wait; cancel them."""

    def main() -> Steps:
        try:
            then()
        finally:
            for thread in threads:
                thread.cancel()
        yield from sleep(0)

    run(main)


def line_of(func: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(func)
    (at,) = [at for at, line in enumerate(lines) if text in line]
    return first + at


# What a thread waits for.


def test_a_receive_is_told_with_its_socket_and_both_addresses() -> None:
    with pair() as (conn, peer):

        def receiver() -> Steps:
            yield from conn.recv(10)

        thread = newthread(receiver, name="rx")

        def look() -> None:
            info = about(thread)
            assert (info.name, info.state) == ("rx", "waiting")
            assert (info.waits_for or "").startswith(f"recv on fd {conn.fileno()}")
            assert info.local == "{}:{}".format(*conn.getsockname())
            assert info.peer == "{}:{}".format(*peer.getsockname())
            assert info.deadline_s is None
            assert info.os_thread is None

        during(thread, then=look)


def test_a_listener_has_no_peer() -> None:
    with tcp() as listener:
        listener.listen("127.0.0.1")

        def accept() -> Steps:
            yield from listener.accept()

        thread = newthread(accept)

        def look() -> None:
            info = about(thread)
            assert (info.waits_for or "").startswith(f"accept on fd {listener.fileno()}")
            assert (info.local, info.peer) == ("{}:{}".format(*listener.getsockname()), None)

        during(thread, then=look)


def test_looking_leaves_the_socket_open_and_makes_no_descriptor() -> None:
    with pair() as (conn, peer):

        def receiver() -> Steps:
            assert (yield from conn.recv(10)) == b"still here"

        thread = newthread(receiver)

        def main() -> Steps:
            for _ in range(100):
                debug.ps()
            yield from peer.sendall(b"still here")
            yield from thread.join()

        run(main)


def test_a_sleep_a_block_and_a_socket_have_deadlines() -> None:
    with pair() as (conn, _):

        def sleeper() -> Steps:
            yield from sleep(100)

        def in_a_block() -> Steps:
            with timeout(300), timeout(200):
                yield from suspend()

        def on_a_socket() -> Steps:
            conn.settimeout(400)
            yield from conn.recv(1)

        threads = [newthread(func) for func in (sleeper, in_a_block, on_a_socket)]

        def look() -> None:
            for thread, seconds in zip(threads, (100, 200, 400), strict=True):
                deadline_s = about(thread).deadline_s
                assert deadline_s is not None
                assert seconds - 60 < deadline_s <= seconds
            assert about(threads[0]).waits_for == "sleep of 100 s"
            assert about(threads[1]).waits_for == "suspended"

        during(*threads, then=look)


def test_a_deadline_that_is_past_is_told_no_more() -> None:
    def worker() -> Steps:
        with timeout(100):
            yield from sleep(0)
        yield from suspend()

    thread = newthread(worker)

    def main() -> Steps:
        while about(thread).waits_for != "suspended":
            yield from sleep(0)
        assert about(thread).deadline_s is None
        thread.cancel()
        yield from sleep(0)

    run(main)


def test_a_thread_that_is_ready_and_one_that_has_ended() -> None:
    def main() -> Steps:
        def waits() -> Steps:
            yield from suspend()

        thread = newthread(waits)
        socket2.resume(thread)
        assert about(thread).state == "ready"
        yield from thread.join()
        assert debug.where(thread) == f"thread '{waits.__qualname__}', ended\n"
        assert thread not in [info.thread for info in debug.threads()]

    run(main)


# Where it is.


def test_the_chain_of_generators() -> None:
    def outer() -> Steps:
        yield from middle()  # here: outer

    def middle() -> Steps:
        yield from sleep(100)  # here: middle

    thread = newthread(outer)

    def look() -> None:
        info = about(thread)
        ours = [(place.function.rpartition(".")[2], place.line) for place in info.stack if not place.inside]
        assert ours == [("outer", line_of(outer, "# here")), ("middle", line_of(middle, "# here"))]
        assert {place.file for place in info.stack if not place.inside} == {__file__}
        assert info.stack[-1].inside
        assert info.at == [place for place in info.stack if not place.inside][-1]
        text = debug.where(thread)
        assert f'File "{__file__}", line {line_of(middle, "# here")}, in ' in text
        assert "yield from sleep(100)  # here: middle" in text

    during(thread, then=look)


def test_the_chain_of_coroutines_and_async_generators() -> None:
    class Awaitable:
        def __await__(self) -> Steps:
            yield from suspend()

    async def numbers() -> AsyncIterator[int]:
        await Awaitable()
        yield 1

    async def outer() -> None:
        async for _ in numbers():
            pass

    async def by_anext() -> None:
        await anext(aiter(numbers()), None)

    async def by_wrapper() -> None:
        await WrappedCoroutine()

    class WrappedCoroutine:
        def __await__(self) -> Any:
            return outer().__await__()

    threads = [newthread(func) for func in (outer, by_anext, by_wrapper)]
    expected = [["outer"], ["by_anext"], ["by_wrapper", "outer"]]

    def look() -> None:
        for thread, first in zip(threads, expected, strict=True):
            names = [place.function.rpartition(".")[2] for place in about(thread).stack if not place.inside]
            assert names == [*first, "numbers", "__await__"]

    during(*threads, then=look)


def test_a_thread_that_asks_about_itself_is_where_it_asks() -> None:
    def main() -> Steps:
        def ask() -> ThreadInfo:
            return about(socket2.currentthread())

        info = ask()
        assert info.state == "running"
        assert info.os_thread == "MainThread"
        assert [place.function.rpartition(".")[2] for place in info.stack] == ["main", "ask", "about"]
        text = debug.where(socket2.currentthread())
        assert text.endswith("    text = debug.where(socket2.currentthread())\n")
        return
        yield

    run(main)


def test_a_thread_that_is_starting_another_runs_too() -> None:
    def child() -> Steps:
        states = {info.name: info.state for info in debug.threads()}
        assert states == {"parent": "running", "child": "running"}
        return
        yield

    def parent() -> Steps:
        newthread(child, name="child").result()
        return
        yield

    newthread(parent, name="parent").result()


def test_threads_of_other_os_threads_are_told_too() -> None:
    started = OSThread(lambda: run(serve))
    ready, go = socket.socketpair()

    def waits() -> Steps:
        ready.sendall(b"!")
        yield from suspend()

    def serve() -> Steps:
        thread = newthread(waits, name="far")
        ready.recv(1)  # here
        thread.cancel()
        yield from sleep(0)

    with ready, go:
        started.start()
        assert go.recv(1) == b"!"
        give_up = monotonic() + LIMIT_S
        while monotonic() < give_up:
            found = {info.name: info for info in debug.threads()}
            main, far = found[serve.__qualname__], found["far"]
            line = main.at.line if main.at is not None else None
            if (far.state, main.os_thread, line) == ("waiting", started.name, line_of(serve, "# here")):
                break
        assert (far.state, main.state, main.os_thread) == ("waiting", "running", started.name)
        assert started.name in [name for loop in debug.stats() for name in loop.os_threads]
        go.sendall(b"!")
        started.outcome()


def test_looking_holds_on_to_nothing() -> None:
    class Held:
        pass

    def main() -> Steps:
        held = Held()
        gone = weakref.ref(held)
        debug.report("everything")
        debug.threads()
        del held
        assert gone() is None
        return
        yield

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()
