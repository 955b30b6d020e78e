"""write() and end(): order, back-pressure, callbacks, errors."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Socket

from ..interop.peers import pattern
from .scene import SOCKET_EVENTS, all_of, ended, failed, ignore, noting, pair, port_of, record, run, turns, until

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


# Together.


def test_cork_and_uncork() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.cork()
            client.cork()
            for letter in "hello":
                client.write(letter)
            client.uncork()
            await turns()
            assert conn.bytesRead == 0
            assert client.bufferSize == 5
            client.uncork()
            await turns()
            assert await conn.recv() == b"hello"
            client.write(" again")
            assert await conn.recv() == b" again"
            client.uncork()

    run(main)


# The end.


@pytest.mark.parametrize("method", ["end", "finish"])
def test_end_flushes_and_tells_the_peer(method: str) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["finish"])
            client.write(MUCH)
            assert getattr(client, method)("!", noting(log, "ended")) is client
            assert not client.writable
            assert client.writableEnded
            assert log == []
            assert await all_of(conn) == MUCH + b"!"
            await turns()
            assert log == [("ended", None), "finish"]
            assert client.writableFinished
            assert client.readyState == "readOnly"

    run(main)


@pytest.mark.parametrize(
    "args",
    [(), (b"bye",), ("bye", "utf8"), ("627965", "hex"), (None,)],
    ids=["nothing", "bytes", "text", "hex", "None"],
)
@pytest.mark.parametrize("with_callback", [False, True])
def test_forms_of_end(args: tuple[Any, ...], with_callback: bool) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log: list[Any] = []
            client.end(*args, *([noting(log, "ended")] if with_callback else []))
            assert await all_of(conn) == (b"bye" if args and args[0] else b"")
            await turns()
            assert log == [("ended", None)] * with_callback

    run(main)


def test_ending_twice() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["finish", "error"])
            client.end(noting(log, "first"))
            client.end(noting(log, "second"))
            await turns()
            client.end(noting(log, "third"))
            await turns()
            assert log == [("first", None), ("second", None), "finish", ("third", None)]
            assert await all_of(conn) == b""

    run(main)


def test_writing_after_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["error", "finish", "close"])
            client.write(MUCH)
            client.end()
            assert client.write("late", noting(log, "written")) is False
            assert log == []
            assert await all_of(conn) == MUCH
            conn.end()
            client.resume()
            await until(log, "close")
            [(written, error), (event, same), finish, close] = log
            assert (written, event, finish, close) == ("written", "error", "finish", ("close", True))
            assert same is error
            assert (error.code, str(error)) == ("ERR_STREAM_WRITE_AFTER_END", "[Errno 32] write after end")

    run(main)


def test_writing_after_the_peer_has_ended() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["error"])
            client.once("end", lambda: log.append(client.write("late", noting(log, "written"))))
            client.on("end", lambda: log.append(client.write("later")))
            client.resume()
            conn.end()
            conn.resume()
            await ended(client)
            # A listener of 'end' can still write: we end after that.
            assert log == [True, True, ("written", None)]

    run(main)


def test_writing_after_we_have_ended_because_the_peer_had() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["error"])
            conn.on("error", ignore)
            client.write(MUCH)
            client.resume()
            conn.end()
            await client.wait("end")
            client.write("late", noting(log, "written"))
            await until(log, "error")
            [(written, error), (_, same)] = log
            assert written == "written"
            assert same is error
            assert error.code == "EPIPE"
            assert "This socket has been ended by the other party" in str(error)

    run(main)


def test_writing_after_destroy_tells_the_callback_only() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            client.destroy()
            await turns()
            log = record(client, SOCKET_EVENTS)
            assert client.write("late", noting(log, "written")) is False
            client.end("later", noting(log, "ended"))
            await turns()
            assert [(what, error.code) for what, error in log] == [
                ("written", "ERR_STREAM_DESTROYED"),
                ("ended", "ERR_STREAM_DESTROYED"),
            ]

    run(main)


def test_writing_to_a_peer_that_has_gone() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["error", "close"])
            client.write("unread")
            conn.resetAndDestroy()
            while not client.destroyed:
                client.write("more")
                await turns()
            await until(log, "close")
            [(event, error), close] = log
            assert (event, close) == ("error", ("close", True))
            assert error.code in ("EPIPE", "ECONNRESET")

    run(main)


def test_a_send_that_fails_in_the_queue() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["error", "close"])
            client.pause()
            client.write(MUCH, noting(log, "written"))
            conn.resetAndDestroy()
            await until(log, "close")
            [(written, error), (event, same), close] = log
            assert (written, event, close) == ("written", "error", ("close", True))
            assert same is error

    run(main)


def test_destroy_soon_sends_what_there_is() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["finish", "end", "close"])
            client.write(MUCH)
            client.destroySoon()
            assert await all_of(conn) == MUCH
            await until(log, "close")
            assert log == ["finish", ("close", False)]
            client.destroySoon()

    run(main)


def test_destroy_soon_when_all_was_sent() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            client.end()
            await client.wait("finish")
            client.destroySoon()
            assert client.destroyed

    run(main)


# Direct style.


def test_send_waits_until_the_kernel_has_it_all() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            reader = socket2.newthread(received, conn, len(MUCH) + 5)
            assert await client.send("hello") == 5
            assert await client.send(MUCH) == len(MUCH)
            assert client.bufferSize == 0
            assert await reader.join() == b"hello" + MUCH

    run(main)


def test_send_after_end_raises() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            client.end()
            assert (await failed(client.send("late"))).code == "ERR_STREAM_WRITE_AFTER_END"
            client.destroy()
            assert (await failed(client.send("late"))).code == "ERR_STREAM_DESTROYED"

    run(main)


def test_a_send_that_is_waiting_when_it_is_destroyed() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.on("error", ignore)
            sender = socket2.newthread(failed, client.send(MUCH))
            await turns()
            client.destroy()
            assert (await sender.join()).code == "ERR_STREAM_DESTROYED"

    run(main)


def test_send_before_connecting() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.pipe(conn)) as server:
            server.listen(0, "127.0.0.1")
            await server.wait("listening")
            client = net.connect(port_of(server))
            assert await client.send(b"hello") == 5
            assert await client.recv() == b"hello"
            client.end()
            await ended(client)

    run(main)


# Options of the kernel's socket.


def option(sock: Socket, level: int, name: int) -> int:
    assert sock._tcp is not None
    return int(sock._tcp.getsockopt(level, name))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_no_delay(before: bool) -> None:
    async def main() -> None:
        async with connected(**({"noDelay": True} if before else {})) as (client, _):
            if not before:
                assert client.setNoDelay() is client
            assert option(client, socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.setNoDelay(False)
            assert not option(client, socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(main)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no TCP_KEEPIDLE")
def test_keep_alive(before: bool) -> None:
    async def main() -> None:
        async with connected(**({"keepAlive": True, "keepAliveInitialDelay": 7000} if before else {})) as (client, _):
            if not before:
                assert not option(client, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert client.setKeepAlive(True, 6500, 3000, 4) is client
                assert option(client, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 3
                assert option(client, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
            assert option(client, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert option(client, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            client.setKeepAlive({"enable": True, "initialDelay": 9000})
            assert option(client, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 9
            client.setKeepAlive()
            assert not option(client, socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    run(main)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no TCP_KEEPIDLE")
def test_a_delay_of_nothing_leaves_what_there_is() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            usual = option(client, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            client.setKeepAlive(True, 0)
            assert option(client, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == usual

    run(main)


def test_options_after_close_do_nothing() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            client.destroy()
            assert client.setNoDelay() is client
            assert client.setKeepAlive(True, 1000) is client
            assert client.setTimeout(1000) is client

    run(main)
