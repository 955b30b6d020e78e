"""'data', 'end', pausing, decoding, piping, and recv() beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from socket2 import net
from socket2.net import Socket

from ..interop.peers import pattern
from .scene import ended, pair, record, run, started, turns, until

MUCH = pattern(91, 12_000_000)


@asynccontextmanager
async def connected(server_options: Any = None, **options: Any) -> AsyncIterator[tuple[Socket, Socket]]:
    """Return a client that reads, and the server's socket for it. Both are destroyed afterwards."""
    client, conn = await pair({"allowHalfOpen": True, **(server_options or {})}, **options)
    await turns()
    try:
        yield client, conn
    finally:
        client.destroy()
        conn.destroy()


async def until_read(client: Socket, size: int) -> None:
    while client.bytesRead < size:
        await turns()


# Data.


def test_data_and_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data", "end"])
            conn.write("hello")
            await until(log, "data")
            assert client.bytesRead == 5
            conn.end()
            await until(log, "end")
            assert log == [("data", b"hello"), "end"]
            assert client.readableEnded
            assert not client.readable

    run(main)


def test_much_data() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            parts: list[bytes] = []
            client.on("data", parts.append)
            conn.end(MUCH)
            await client.wait("end")
            assert b"".join(parts) == MUCH
            assert client.bytesRead == len(MUCH)

    run(main)


def test_several_listeners() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data"], name="a ")
            record(client, ["data"], log, "b ")
            conn.write("x")
            await until(log, "b data")
            assert log == [("a data", b"x"), ("b data", b"x")]

    run(main)


def test_a_listener_for_one_time_loses_nothing() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.write("one")
            assert await client.wait("data") == b"one"
            conn.write("two")
            await until_read(client, 6)
            conn.write("three")
            await turns()
            assert await client.wait("data") == b"two"
            assert await client.wait("data") == b"three"

    run(main)


def test_what_comes_before_there_is_a_listener_is_kept() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.end("early")
            await until_read(client, 5)
            await turns()
            assert not client.readableEnded
            log = record(client, ["data", "end"])
            assert log == []
            await until(log, "end")
            assert log == [("data", b"early"), "end"]

    run(main)


def test_no_more_than_the_mark_is_read_ahead() -> None:
    async def main() -> None:
        async with connected(highWaterMark=1000) as (client, conn):
            conn.write(MUCH)
            await turns(20)
            assert 1000 <= client.bytesRead <= 1000 + 65536
            client.resume()
            await until_read(client, len(MUCH))

    run(main)


def test_resume_without_a_listener_drops() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["end"])
            assert client.resume() is client
            conn.end(MUCH)
            await until(log, "end")
            assert client.bytesRead == len(MUCH)
            assert await client.recv() == b""

    run(main)


def test_end_comes_when_there_was_no_data() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["end"])
            conn.end()
            await until(log, "end")

    run(main)


# Pausing.


def test_paused_there_is_neither_data_nor_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data", "end", "pause", "resume"])
            await turns()
            assert client.pause() is client
            assert client.isPaused()
            client.pause()
            conn.end("hello")
            await turns(10)
            assert log == ["resume", "pause"]
            client.resume()
            assert not client.isPaused()
            assert log == ["resume", "pause"]
            await until(log, "end")
            assert log == ["resume", "pause", "resume", ("data", b"hello"), "end"]

    run(main)


def test_a_paused_socket_slows_the_peer_down() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.pause()
            assert not conn.write(MUCH)
            await turns(20)
            assert conn.writableNeedDrain
            assert client.bytesRead <= 65536
            client.resume()
            await conn.wait("drain")
            await until_read(client, len(MUCH))

    run(main)


def test_pausing_before_connecting() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.end("hello")) as server:
            client = Socket()
            client.pause()
            log = record(client, ["data", "end"])
            client.connect(await started(server), "127.0.0.1")
            await client.wait("connect")
            await turns(10)
            assert log == []
            client.resume()
            await until(log, "end")
            await ended(client)

    run(main)


def test_pausing_in_the_listener_of_connect() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.end("hello")) as server:
            client = Socket()
            client.connect(await started(server), "127.0.0.1", client.pause)
            log = record(client, ["data", "end"])
            await client.wait("connect")
            await turns(10)
            assert log == []
            client.resume()
            await until(log, "end")
            await ended(client)

    run(main)


def test_pausing_in_the_listener_of_data() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data", "end"])
            client.on("data", lambda data: client.pause())
            for n in range(4):
                conn.write(str(n))
                await until(log, "data")
                await turns(5)
                assert len(log) == 1
                log.clear()
                client.resume()

    run(main)


def test_pause_on_connect() -> None:
    async def main() -> None:
        async with net.createServer({"pauseOnConnect": True}) as server:
            log: list[Any] = []
            server.on("connection", lambda conn: record(conn, ["data", "end", "close"], log))
            client = net.connect(await started(server), "127.0.0.1")
            client.end("hello")
            conn = await server.wait("connection")
            await turns(10)
            assert conn.isPaused()
            assert (log, conn.bytesRead) == ([], 0)
            conn.resume()
            await until(log, "close")
            assert log == [("data", b"hello"), "end", ("close", False)]
            await ended(client)

    run(main)


def test_a_paused_socket_notices_a_reset() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.pause()
            await turns()
            log = record(client, ["error", "close"])
            conn.resetAndDestroy()
            await until(log, "close")
            [(event, error), close] = log
            assert (event, error.code, close) == ("error", "ECONNRESET", ("close", True))

    run(main)


# Text.


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("utf8", "grüße €".encode(), "grüße €"),
        ("utf-8", b"broken \xff", "broken �"),
        ("utf16le", "hé".encode("utf-16-le"), "hé"),
        ("latin1", b"\xe9\xe8", "éè"),
        ("ascii", b"plain", "plain"),
        ("hex", b"\x00\xff\x10", "00ff10"),
        ("base64", b"hello, world", "aGVsbG8sIHdvcmxk"),
        ("base64", b"hell", "aGVsbA=="),
        ("base64url", b"\xff\xef", "_-8"),
    ],
)
def test_text_comes_in_whole_characters(encoding: str, data: bytes, text: str) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            parts: list[Any] = []
            assert client.setEncoding(encoding) is client
            client.on("data", parts.append)
            for n, byte in enumerate(data, 1):
                conn.write(bytes([byte]))
                await until_read(client, n)
            conn.end()
            await client.wait("end")
            assert "".join(parts) == text
            assert all(parts)

    run(main)


def test_half_a_character_at_the_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.setEncoding()
            log = record(client, ["data", "end"])
            conn.end("€".encode()[:2])
            await until(log, "end")
            assert log == [("data", "�"), "end"]

    run(main)


def test_bytes_again() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.setEncoding("utf8")
            client.setEncoding(None)
            conn.write("hello")
            assert await client.wait("data") == b"hello"

    run(main)


def test_an_encoding_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match="klingon"):
        Socket().setEncoding("klingon")
