"""A socket's life: timeouts, destruction, descriptors."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import RangeError, Socket

from .scene import SOCKET_EVENTS, all_of, ended, greet, ignore, noting, record, run, started, turns, until
from .test_life import connected

# Timeouts.


def test_a_timeout_is_told_once_and_ends_nothing() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["timeout"])
            assert client.setTimeout(10, noting(log, "callback")) is client
            assert client.timeout == 10
            await until(log, "timeout")
            await socket2.sleep(0.03)
            assert log == ["timeout", "callback"]
            conn.write("hello")
            await client.recv()
            while len(log) < 3:
                await turns()
            assert log == ["timeout", "callback", "timeout"]
            assert client.readyState == "open"

    run(main)


@pytest.mark.parametrize("how", ["receive", "send"])
def test_what_happens_moves_the_timeout_on(how: str) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["timeout"])
            client.resume()
            client.setTimeout(10_000)
            due = client._idle.due if client._idle is not None else None
            await socket2.sleep(0.01)
            if how == "send":
                client.write("x")
            else:
                conn.write("x")
                while not client.bytesRead:
                    await turns()
            assert client._idle is not None
            assert due is not None
            assert client._idle.due is not None
            assert client._idle.due > due
            assert log == []

    run(main)


def test_a_slow_write_moves_the_timeout_on() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.write(bytes(12_000_000))
            client.setTimeout(10_000)
            assert client._idle is not None
            due = client._idle.due
            conn.resume()
            await client.wait("drain")
            assert due is not None
            assert client._idle.due is not None
            assert client._idle.due > due

    run(main)


def test_no_timeout_any_more() -> None:
    async def main() -> None:
        async with connected() as (client, _):
            log: list[Any] = []
            callback = noting(log, "timeout")
            client.setTimeout(10, callback)
            client.setTimeout(0, callback)
            assert client.timeout == 0
            assert client.listenerCount("timeout") == 0
            await socket2.sleep(0.03)
            assert log == []

    run(main)


def test_no_timeout_after_the_end() -> None:
    async def main() -> None:
        async with connected(timeout=20) as (client, _):
            assert client.timeout == 20
            log = record(client, ["timeout"])
            client.destroy()
            await socket2.sleep(0.04)
            assert log == []

    run(main)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        ("10", TypeError),
        (None, TypeError),
        (True, TypeError),
        (-1, RangeError),
        (math.inf, RangeError),
        (math.nan, RangeError),
    ],
)
def test_what_is_no_timeout(timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Socket().setTimeout(timeout)


def test_what_is_no_callback_of_a_timeout() -> None:
    with pytest.raises(TypeError):
        Socket().setTimeout(10, 5)  # type: ignore[arg-type]


def test_ending_in_the_listener_of_timeout() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.setTimeout(10, lambda: conn.end("too late"))
            assert await all_of(client) == b"too late"
            await ended(client, conn)

    run(main)


# Destroying.


@pytest.mark.parametrize("error", [None, ValueError("oops")])
def test_destroy(error: Exception | None) -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.on("error", ignore)
            log = record(client, SOCKET_EVENTS)
            assert client.destroy(error) is client
            assert client.destroy(KeyError("second")) is client
            assert client.destroyed
            assert (client.readable, client.writable, client.readyState) == (False, False, "closed")
            assert log == []
            await turns(5)
            assert log == ([("error", error)] if error else []) + [("close", error is not None)]

    run(main)


@pytest.mark.parametrize("event", ["data", "end", "finish", "drain", "connect", "ready", "lookup"])
def test_destroying_in_a_listener(event: str) -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.on("error", ignore) and conn.pipe(conn)) as server:
            client = net.connect(await started(server), "localhost")
            client.on("error", ignore)
            log = record(client, SOCKET_EVENTS)
            client.on(event, lambda *args: client.destroy())
            client.write(bytes(100_000))
            client.end()
            if event == "drain":
                client.destroy()  # there is none after end()
            await until(log, "close")
            await turns(5)
            assert [entry[0] for entry in log if isinstance(entry, tuple)].count("close") == 1
            assert log[-1] == ("close", False)

    run(main)


def test_a_with_block_destroys() -> None:
    async def main() -> None:
        async with net.createServer(greet) as server:
            with net.connect(await started(server), "127.0.0.1") as client:
                await client.wait("connect")
            assert client.destroyed

    run(main)


def test_a_reset() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(conn, ["error", "close"])
            assert client.resetAndDestroy() is client
            await until(log, "close")
            [(event, error), close] = log
            assert (event, error.code, close) == ("error", "ECONNRESET", ("close", True))

    run(main)


def test_a_reset_while_connecting() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            client = net.connect(await started(server), "127.0.0.1")
            client.resetAndDestroy()
            assert not client.destroyed
            conn = await server.accept()
            log = record(conn, ["error", "close"])
            await until(log, "close")
            assert log[0][1].code == "ECONNRESET"

    run(main)


def test_a_reset_without_a_connection() -> None:
    async def main() -> None:
        client = Socket()
        log = record(client, ["error", "close"])
        client.resetAndDestroy()
        await until(log, "close")
        assert log[0][1].code == "ERR_SOCKET_CLOSED"

    run(main)


def test_a_unix_socket_cannot_be_reset(tmp_path: Path) -> None:
    async def main() -> None:
        async with net.createServer(greet) as server:
            await started(server, str(tmp_path / "socket"))
            client = net.connect(str(tmp_path / "socket"))
            await client.wait("connect")
            with pytest.raises(TypeError) as refused:
                client.resetAndDestroy()
            assert refused.value.code == "ERR_INVALID_HANDLE_TYPE"  # type: ignore[attr-defined]
            client.destroy()

    run(main)


def test_nothing_comes_after_close() -> None:
    async def main() -> None:
        async with connected({"allowHalfOpen": True}) as (client, conn):
            conn.on("error", ignore)
            client.on("data", ignore)
            client.setTimeout(10)
            conn.write(bytes(1_000_000))
            client.write(bytes(12_000_000), ignore)
            client.end()
            await client.wait("data")
            client.destroy()
            await client.wait("close")
            log = record(client, SOCKET_EVENTS)
            client.resume()
            client.pause()
            client.setNoDelay()
            client.cork()
            client.uncork()
            client.ref()
            client.unref()
            await socket2.sleep(0.03)
            assert log == []

    run(main)


# Descriptors.


def test_a_descriptor_taken_over() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            client = Socket({"fd": ours.detach(), "readable": True, "writable": True})
            assert client.readyState == "open"
            client.write("hello")
            assert theirs.recv(10) == b"hello"
            theirs.sendall(b"world")
            theirs.shutdown(socket.SHUT_WR)
            assert await all_of(client) == b"world"
            await ended(client)

    run(main)


def test_a_descriptor_alone() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            client = Socket(ours.detach())
            assert client.readyState == "closed"
            theirs.sendall(b"unread")
            await turns(5)
            assert client.bytesRead == 0
            client.destroy()
            await turns()

    run(main)


def test_a_descriptor_to_write_to_only() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            client = Socket(fd=ours.detach(), writable=True)
            assert client.readyState == "writeOnly"
            log = record(client, ["finish", "close"])
            client.end("hello")
            await until(log, "close")
            assert log == ["finish", ("close", False)]
            assert theirs.recv(10) == b"hello"

    run(main)


def test_a_descriptor_to_read_from_only() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        client = Socket(fd=ours.detach(), readable=True)
        assert client.readyState == "readOnly"
        theirs.sendall(b"hello")
        theirs.close()
        assert await all_of(client) == b"hello"
        await ended(client)

    run(main)


@pytest.mark.parametrize("of", ["standard library", "socket2"])
def test_a_socket_taken_over(of: str) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            client = Socket(handle=ours if of == "standard library" else socket2.unix(fileno=ours.detach()))
            assert client.readyState == "open"
            client.write("hello")
            assert theirs.recv(10) == b"hello"
            client.destroy()
            await turns()

    run(main)


def test_descriptors_of_another_kind(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for fd in (file.fileno(), datagrams.fileno(), "3", True):
            with pytest.raises(TypeError):
                Socket({"fd": fd})
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor") as refused:
        Socket({"fd": fd})
    assert refused.value.code == "EBADF"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Socket(handle="socket")


def test_an_unknown_option_of_a_socket() -> None:
    with pytest.raises(TypeError, match="halfOpen"):
        Socket(halfOpen=True)
