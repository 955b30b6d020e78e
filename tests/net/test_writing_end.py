"""write() and end(): several pieces together, the end, send(), and options of the kernel's socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Socket

from .scene import SOCKET_EVENTS, all_of, ended, failed, ignore, noting, port_of, record, run, turns, until
from .test_writing import MUCH, connected, received

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
