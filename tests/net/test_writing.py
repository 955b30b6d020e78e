"""write() and end(): order, back-pressure, callbacks, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from socket2 import net
from socket2.net import Socket

from ..interop.peers import pattern
from .scene import SOCKET_EVENTS, all_of, ended, ignore, noting, pair, port_of, record, run, turns, until

MUCH = pattern(90, 12_000_000)
"""More than the kernel takes at once."""


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Socket, Socket]]:
    """A client and the server's socket for it, both destroyed afterwards."""
    client, conn = await pair({"allowHalfOpen": True}, **options)
    await turns()
    try:
        yield client, conn
    finally:
        client.destroy()
        conn.destroy()


async def received(conn: Socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := await conn.recv()):
        data += more
    return data


# What can be written.


@pytest.mark.parametrize(
    ("args", "bytes_written"),
    [
        ((b"hello",), b"hello"),
        ((bytearray(b"hello"),), b"hello"),
        ((memoryview(b"hello"),), b"hello"),
        (("héllo",), "héllo".encode()),
        (("héllo", "utf8"), "héllo".encode()),
        (("héllo", "UTF-8"), "héllo".encode()),
        (("héllo", "latin1"), "héllo".encode("latin-1")),
        (("héllo", "binary"), "héllo".encode("latin-1")),
        (("hello", "ascii"), b"hello"),
        (("hi", "utf16le"), b"h\0i\0"),
        (("hi", "ucs2"), b"h\0i\0"),
        (("68656c6c6f", "hex"), b"hello"),
        (("aGVsbG8=", "base64"), b"hello"),
        (("aGVsbG8", "base64"), b"hello"),
        (("_-8", "base64url"), b"\xff\xef"),
        ((b"",), b""),
    ],
)
def test_what_can_be_written(args: tuple[Any, ...], bytes_written: bytes) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            assert client.write(*args) is True
            assert client.bytesWritten == len(bytes_written)
            client.end()
            assert await all_of(conn) == bytes_written

    run(main)


@pytest.mark.parametrize("data", [5, None, 1.5, ["a"], {"a": 1}, Ellipsis], ids=repr)
def test_what_cannot_be_written(data: Any) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            with pytest.raises(TypeError) as refused:
                client.write(data)
            assert refused.value.code == "ERR_INVALID_ARG_TYPE"  # type: ignore[attr-defined]

    run(main)


def test_an_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="unknown encoding 'klingon'"):
        Socket().write("hello", "klingon")


# Back-pressure.


def test_write_returns_false_over_the_mark_and_drain_comes_when_all_is_sent() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["drain"])
            assert client.write(b"small") is True
            assert client.write(MUCH, noting(log, "written")) is False
            assert client.writableNeedDrain
            assert client.bufferSize == client.writableLength > client.writableHighWaterMark == 16384
            assert client.bytesWritten == 5 + len(MUCH)
            assert await received(conn, 5 + len(MUCH)) == b"small" + MUCH
            await turns()
            assert log == ["drain", ("written", None)]
            assert client.bufferSize == 0
            assert not client.writableNeedDrain

    run(main)


def test_no_drain_when_nothing_was_queued() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["drain"])
            for _ in range(10):
                assert client.write(b"x" * 1000)
            await received(conn, 10_000)
            await turns()
            assert log == []

    run(main)


@pytest.mark.parametrize(("mark", "answer"), [(10**9, True), (0, False), (16384, False)])
def test_the_high_water_mark(mark: int, answer: bool) -> None:
    async def main() -> None:
        async with connected(highWaterMark=mark) as (client, conn):
            assert client.write(b"a few") is True
            assert client.write(MUCH) is answer
            assert await received(conn, 5 + len(MUCH)) == b"a few" + MUCH

    run(main)


def test_writing_in_the_listener_of_drain() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            rest = [MUCH[:5_000_000], MUCH[5_000_000:]]

            def more() -> None:
                if rest:
                    client.write(rest.pop(0))
                else:
                    client.end()

            client.write(MUCH)
            client.on("drain", more)
            assert await all_of(conn) == MUCH + MUCH

    run(main)


def test_no_drain_after_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["drain", "finish"])
            assert client.write(MUCH) is False
            client.end()
            assert await all_of(conn) == MUCH
            await until(log, "finish")
            assert log == ["finish"]

    run(main)


def test_more_than_the_limit_ends_the_socket() -> None:
    async def main() -> None:
        async with connected(maxBufferSize=100_000) as (client, conn):
            conn.on("error", ignore)
            log = record(client, SOCKET_EVENTS)
            assert client.write(MUCH, noting(log, "written")) is False
            assert client.destroyed
            await until(log, "close")
            [(written, error), (event, same), closed] = log
            assert (written, event, closed) == ("written", "error", ("close", True))
            assert same is error
            assert error.code == "ENOBUFS"

    run(main)


def test_the_limit_holds_before_there_is_a_connection() -> None:
    async def main() -> None:
        client = Socket(maxBufferSize=10)
        log = record(client, ["error", "close"])
        assert client.write(b"x" * 10) is True
        assert client.write(b"x") is False
        await until(log, "close")
        assert client.destroyed

    run(main)


# Callbacks.


def test_callbacks_come_once_in_order_and_later() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log: list[Any] = []
            for n in range(20):
                client.write(MUCH[:300_000] if n % 5 == 0 else b"x", noting(log, str(n)))
            assert log == []
            await received(conn, 4 * 300_000 + 16)
            await turns()
            assert log == [(str(n), None) for n in range(20)]

    run(main)


def test_callbacks_of_pending_writes_get_the_error() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.on("error", ignore)
            log = record(client, ["error", "close"])
            client.write(MUCH, noting(log, "first"))
            client.write(b"more", noting(log, "second"))
            client.end(noting(log, "end"))
            client.destroy(oops := ValueError("oops"))
            assert log == []
            await turns()
            assert log == [("error", oops), ("first", oops), ("second", oops), ("end", oops), ("close", True)]

    run(main)


def test_a_callback_may_be_a_thread() -> None:
    async def main() -> None:
        log: list[str] = []

        async def written(error: BaseException | None) -> None:
            await turns()
            log.append("written")

        async with connected() as (client, _):
            client.write(b"hello", written)
            await until(log, "written")

    run(main)


@pytest.mark.parametrize("callback", [5, "callback"])
def test_what_is_no_callback(callback: Any) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            for prepare in (client.uncork, client.cork):
                prepare()
                with pytest.raises(TypeError):
                    client.write("hello", "utf8", callback)

    run(main)


# Before there is a connection.


def test_writing_before_connecting() -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}) as server:
            server.listen(0, "127.0.0.1")
            await server.wait("listening")
            log: list[Any] = []
            client = Socket()
            assert client.write(b"before, ", noting(log, "written")) is True
            client.connect(port_of(server), "127.0.0.1")
            assert client.write(b"x" * 20_000) is False
            assert client.bytesWritten == client.bufferSize == 20_008
            client.on("connect", noting(log, "connect"))
            client.on("drain", noting(log, "drain"))
            conn = await server.accept()
            assert await received(conn, 20_008) == b"before, " + b"x" * 20_000
            await turns()
            assert sorted(log, key=str) == [("written", None), "connect", "drain"]
            assert client.bufferSize == 0
            client.destroy()
            conn.destroy()

    run(main)


def test_ending_before_connecting() -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}) as server:
            server.listen(0, "127.0.0.1")
            await server.wait("listening")
            client = net.connect(port_of(server), "127.0.0.1")
            log = record(client, ["connect", "finish"])
            client.end("all there is", noting(log, "ended"))
            assert not client.writable
            conn = await server.accept()
            assert await all_of(conn) == b"all there is"
            assert log == ["connect", ("ended", None), "finish"]
            conn.end()
            await ended(client)

    run(main)
