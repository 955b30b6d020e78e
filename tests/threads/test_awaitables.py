"""Everything that a program may pass to be awaited: a generator, a coroutine, or any other awaitable."""

from __future__ import annotations

import socket
import types
from collections.abc import Awaitable, Callable, Generator
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import TCP, Event, Server, luasocket, net, newthread, sleep, stream, threadset
from socket2.luasocket import ltn12

from ..interop.peers import run
from ..net.scene import failed, started

Plain = Callable[..., Any]
Kind = Callable[[Plain], Plain]


def by_generator(work: Plain) -> Plain:
    def made(*args: Any) -> Generator[Any, None, Any]:
        yield from sleep(0)
        return (yield from _end_of(work(*args)))

    return made


def _end_of(result: Any) -> Generator[Any, None, Any]:
    return (yield from result) if hasattr(result, "__await__") else result


def by_marked_generator(work: Plain) -> Plain:
    return types.coroutine(by_generator(work))


def by_coroutine(work: Plain) -> Plain:
    async def made(*args: Any) -> Any:
        await sleep(0)
        result = work(*args)
        return (await result) if hasattr(result, "__await__") else result

    return made


class Later:
    """An awaitable that is neither a generator nor a coroutine."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, Any]:
        yield from sleep(0)
        return (yield from _end_of(self._work()))


class Around:
    """An awaitable whose __await__ returns another object's iterator, which is not a generator."""

    def __init__(self, inner: Awaitable[Any]) -> None:
        self._inner = inner

    def __await__(self) -> Any:
        return self._inner.__await__()


def by_object(work: Plain) -> Plain:
    return lambda *args: Later(lambda: work(*args))


def by_object_around_a_coroutine(work: Plain) -> Plain:
    coroutine = by_coroutine(work)
    return lambda *args: Around(coroutine(*args))


KINDS = [by_generator, by_marked_generator, by_coroutine, by_object, by_object_around_a_coroutine]


@pytest.fixture(params=KINDS)
def later(request: pytest.FixtureRequest) -> Callable[[Plain], Plain]:
    """Turn a function into one whose result has to be awaited."""
    kind: Callable[[Plain], Plain] = request.param
    return kind


def double(number: int) -> int:
    return 2 * number


def fail(*_: Any) -> Any:
    raise ValueError("meant")


def unknown(*_: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


# Threads.


def test_threads(later: Kind) -> None:
    async def main() -> None:
        assert await newthread(later(double), 1).join() == 2
        assert await newthread(later(double)(2)).join() == 4
        with threadset() as ts:
            thread = ts.newthread(later(double), 3)
            await ts.join()
        assert await thread.join() == 6
        with pytest.raises(ValueError, match="meant"):
            await newthread(later(fail)).join()

    run(main)
    assert socket2.run(later(double), 4) == 8
    assert socket2.run(later(double)(5)) == 10


def test_jobs(later: Kind) -> None:
    calls: list[int] = []

    def thrice() -> bool:
        calls.append(1)
        return len(calls) < 3

    async def main() -> None:
        assert await socket2.runat(monotonic(), later(double), 1).join() == 2
        assert await socket2.runafter(0, later(double), 2).join() == 4
        await socket2.runevery(0.001, later(thrice)).join()
        with pytest.raises(ValueError, match="meant"):
            await socket2.runafter(0, later(fail)).join()

    run(main)
    assert len(calls) == 3


# Servers.


def test_a_handler_and_ready(later: Kind) -> None:
    handled, told = Event(), Event()

    async def main() -> None:
        def ready(server: Server) -> None:
            told.set()
            newthread(client, server)

        async def client(server: Server) -> None:
            with await socket2.connect(*server.addresses[0][:2]) as sock:
                assert await sock.recv(1) == b""
            await server.stop(1)

        assert await socket2.serve(later(lambda conn: handled.set()), "127.0.0.1", signals=(), ready=later(ready)) == 0

    run(main)
    assert handled.is_set()
    assert told.is_set()


# Streams.


def test_a_socket_of_ones_own(later: Kind) -> None:
    """A stream over a socket whose methods the program has replaced: these may return any awaitable, too."""

    class Late(TCP):
        __slots__ = ()

        def recv(self, n: int = 1) -> Any:
            return later(super().recv)(n)

        def sendall(self, data: Any) -> Any:
            return later(super().sendall)(data)

    async def main() -> None:
        one, peer = socket.socketpair()
        with stream(Late(one)) as ours, peer:
            await ours.sendall(b"a line\n")
            await ours.sendv([b"another", b" one\n"])
            assert peer.recv(100) == b"a line\nanother one\n"
            peer.sendall(b"1\n2\n34")
            peer.close()
            assert await ours.recvline() == b"1"
            assert await ours.recvn(2) == b"2\n"
            assert await ours.recvall() == b"34"
            await ours.finish()

    run(main)


# LuaSocket.


def numbers(later: Kind) -> Plain:
    chunks = [b"one", b"two"]
    return later(lambda: (chunks.pop(0), None) if chunks else (None, None))


def test_pumps(later: Kind) -> None:
    got: list[bytes | None] = []

    def put(chunk: bytes | None, err: Any = None) -> tuple[int, None]:
        got.append(chunk)
        return 1, None

    def upper(chunk: bytes | None) -> bytes | None:
        return chunk.upper() if chunk else chunk

    async def main() -> None:
        assert await ltn12.pump.all(numbers(later), later(put)) == (1, None)
        assert got == [b"one", b"two", None]
        got.clear()
        source = ltn12.source.chain(ltn12.source.cat(numbers(later), numbers(later)), upper)
        assert await ltn12.pump.all(ltn12.source.simplify(source), ltn12.sink.chain(upper, later(put))) == (1, None)
        assert got == [b"ONE", b"TWO", b"ONE", b"TWO", None]
        got.clear()
        rewound = ltn12.source.rewind(numbers(later))
        simple = ltn12.sink.simplify(later(put))
        steps = [(1, None), (None, None)]
        assert await ltn12.pump.all(rewound, simple, later(lambda *_: steps.pop(0))) == (1, None)
        assert not steps

    run(main)


def test_protected(later: Kind) -> None:
    async def main() -> None:
        assert await luasocket.protect(later(double))(1) == 2
        assert await luasocket.protect(later(lambda: luasocket.try_(None, "an error")))() == (None, "an error")
        with pytest.raises(ValueError, match="meant"):
            await luasocket.protect(later(fail))()

    run(main)


class Object:
    """A program's own socket class for luasocket."""

    def __init__(self, later: Kind) -> None:
        self.receive = later(self._receive)
        self.send = later(self._send)
        self.sent = b""

    def _receive(self, pattern: Any, partial: bytes = b"") -> tuple[Any, ...]:
        return b"data", None, None

    def _send(self, data: bytes) -> tuple[Any, ...]:
        self.sent += data
        return len(data), None, None


def test_a_source_and_a_sink_of_a_socket_of_ones_own(later: Kind) -> None:
    async def main() -> None:
        sock = Object(later)
        source, sink = luasocket.source("by-length", sock, 4), luasocket.sink("keep-open", sock)
        assert await ltn12.pump.step(source, sink) == (1, None)
        assert sock.sent == b"data"

    run(main)


# socket2.net.


def test_listeners_and_callbacks(later: Kind) -> None:
    seen: list[str] = []

    def note(what: str) -> Plain:
        return later(lambda *_: seen.append(what))

    async def main() -> None:
        server = net.createServer(note("connection listener"))
        server.on("connection", lambda conn: conn.end("x"))
        server.on("listening", note("listen listener"))
        client = net.connect(await started(server), "127.0.0.1", note("connect listener"))
        client.on("data", note("data"))
        client.once("end", note("end"))
        client.write("y", note("write callback"))
        await client.wait("close")
        server.close(note("close callback"))
        await server.wait("close")
        while len(seen) < 7:
            await sleep(0)

    run(main)
    assert sorted(seen) == sorted(
        [
            "connection listener",
            "listen listener",
            "connect listener",
            "data",
            "end",
            "write callback",
            "close callback",
        ]
    )


def test_a_look_up(later: Kind) -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.end("x")) as server:
            look_up = later(lambda host, options, answer: "127.0.0.1")
            client = net.connect({"port": await started(server), "host": "a.name", "lookup": look_up})
            client.resume()
            await client.wait("close")
            client = net.connect({"port": 1, "host": "a.name", "lookup": later(unknown)})
            assert isinstance(await failed(client.wait("connect")), socket.gaierror)

    run(main)
