"""'data', 'end', pausing, decoding, piping, and recv() beside them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Socket

from ..interop.peers import LIMIT_S, pattern
from .scene import all_of, ended, failed, ignore, pair, port_of, record, run, started, turns, until

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


# A buffer of the program's own.


@pytest.mark.parametrize("made", [False, True], ids=["a buffer", "a function"])
def test_onread(made: bool) -> None:
    async def main() -> None:
        buffer = bytearray(4)
        parts: list[bytes] = []

        def take(n: int, where: bytearray) -> Any:
            assert where is buffer
            parts.append(bytes(where[:n]))
            return False if len(parts) == 1 else None

        async with net.createServer(lambda conn: conn.end("hello, world")) as server:
            onread = {"buffer": (lambda: buffer) if made else buffer, "callback": take}
            client = net.connect({"port": await started(server), "host": "127.0.0.1", "onread": onread})
            log = record(client, ["data", "end", "close"])
            await client.wait("pause")
            await turns(5)
            assert parts == [b"hell"]
            client.resume()
            await until(log, "close")
            assert parts == [b"hell", b"o, w", b"orld"]
            assert log == ["end", ("close", False)]
            assert client.bytesRead == 12

    run(main)


def test_onread_that_fails(crashes: list[BaseException]) -> None:
    async def main() -> None:
        def take(n: int, where: bytearray) -> None:
            raise ValueError("oops")

        async with net.createServer(lambda conn: conn.on("error", ignore) and conn.write("hello")) as server:
            server.on("connection", lambda conn: conn.resume())
            onread = {"buffer": bytearray(9), "callback": take}
            client = net.connect({"port": await started(server), "host": "127.0.0.1", "onread": onread})
            await ended(client)

    run(main)
    assert [str(error) for error in crashes] == ["oops"]
    crashes.clear()


# Direct style.


def test_recv() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.write("hello")
            assert await client.recv(2) == b"he"
            assert await client.recv() == b"llo"
            conn.end()
            assert await client.recv() == b""
            assert await client.recv() == b""

    run(main)


def test_recv_in_a_generator() -> None:
    async def main() -> None:
        def reader(client: Socket) -> Any:
            return (yield from client.recv(5))

        async with connected() as (client, conn):
            conn.write("hello")
            assert await socket2.newthread(reader, client).join() == b"hello"

    run(main)


def test_iterating_over_a_socket() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.end(MUCH)
            assert await all_of(client) == MUCH

    run(main)


@pytest.mark.parametrize("n", [0, -1])
def test_recv_of_nothing(n: int) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            with pytest.raises(ValueError, match="positive"):
                await client.recv(n)

    run(main)


def test_several_threads_receive_in_turn() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            readers = [socket2.newthread(client.recv, 1) for _ in range(3)]
            conn.write("abc")
            assert [await reader.join() for reader in readers] == [b"a", b"b", b"c"]

    run(main)


def test_a_recv_that_runs_out_of_time_takes_nothing() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            with pytest.raises(TimeoutError):
                with socket2.timeout(0.01):
                    await client.recv()
            conn.write("hello")
            assert await client.recv() == b"hello"

    run(main)


def test_recv_of_a_paused_socket() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.pause()
            conn.end("hello")
            assert await client.recv() == b"hello"
            log = record(client, ["data", "end"])
            await turns()
            assert log == []
            assert await client.recv() == b""
            await until(log, "end")

    run(main)


def test_recv_beside_a_listener() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data"])
            taken = socket2.newthread(client.recv, 2)
            conn.write("hello")
            assert await taken.join() == b"he"
            await until(log, "data")
            assert log == [("data", b"llo")]
            conn.write("again")
            await turns(5)
            assert log == [("data", b"llo"), ("data", b"again")]

    run(main)


@pytest.mark.parametrize(("error", "raised"), [(None, socket2.Closed), (ValueError("oops"), ValueError)])
def test_destroying_wakes_who_receives(error: BaseException | None, raised: type[Exception]) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            reader = socket2.newthread(failed, client.recv())
            await turns()
            client.destroy(error)
            assert isinstance(await reader.join(), raised)
            assert isinstance(await failed(client.recv()), socket2.Closed)

    run(main)


def test_recv_before_connecting() -> None:
    async def main() -> None:
        client = Socket()
        reader = socket2.newthread(client.recv)
        async with net.createServer(lambda conn: conn.end("hello")) as server:
            client.connect(await started(server), "127.0.0.1")
            assert await reader.join() == b"hello"
            client.resume()
            await ended(client)

    run(main)


# Piping.


def test_an_echo_by_pipe() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.pipe(conn)) as server:
            client = net.connect(await started(server), "127.0.0.1")
            client.end(MUCH)
            assert await all_of(client) == MUCH
            await ended(client)

    run(main)


def test_a_pipe_goes_at_the_speed_of_its_destination() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            assert source.pipe(destination) is destination
            sink.pause()
            feeder.write(MUCH)
            feeder.write(MUCH)
            while not source.isPaused():  # a busy machine needs more time
                await turns()
            assert destination.bufferSize <= 200_000
            feeder.end()
            sink.resume()
            assert await all_of(sink) == MUCH + MUCH

    run(main)


def test_a_pipe_that_leaves_its_destination_open() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            source.pipe(destination, end=False)
            feeder.end("hello")
            assert await sink.recv() == b"hello"
            await turns(5)
            destination.end("more")
            assert await all_of(sink) == b"more"

    run(main)


def test_unpipe() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            source.pipe(destination)
            feeder.write("hello")
            assert await sink.recv() == b"hello"
            assert source.unpipe(destination) is source
            feeder.write("more")
            assert await source.recv() == b"more"
            source.unpipe()

    run(main)


def test_a_pipe_ends_with_its_destination() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (_, destination):
            source.pipe(destination)
            await turns()
            destination.destroy()
            await turns()
            assert source.listenerCount("data") == 0
            feeder.write("still here")
            assert await source.recv() == b"still here"

    run(main)


# What keeps the loop running.


def test_a_socket_that_reads_keeps_the_loop_going_unless_it_is_unreferenced() -> None:
    server = net.createServer().listen(0, "127.0.0.1")
    peer = socket.socket()
    client = Socket()
    server.on("connection", lambda conn: server.close() and conn.destroy())
    server.once("listening", lambda: client.connect(port_of(server), "127.0.0.1"))
    peer.close()
    client.allowHalfOpen = True
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        other = net.connect(listener.getsockname()[1], "127.0.0.1")
        client.resume()
        assert not socket2.start(0.05)
        assert other.unref() is other
        client.end()
        assert socket2.start(LIMIT_S)
        assert other.ref() is other
        assert not socket2.start(0.02)
        other.pause()
        assert socket2.start(LIMIT_S)
        other.resume()
        assert not socket2.start(0.02)
        other.destroy()
        assert socket2.start(LIMIT_S)
