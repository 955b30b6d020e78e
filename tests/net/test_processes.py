"""Channels between processes: messages, connections that move, servers that are shared, and clusters."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Channel, Server, Socket

from ..interop.peers import LIMIT_S, ROOT
from .scene import all_of, ended, failed, ignore, noting, pair, record, run, started, turns, until

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def worker() -> Iterator[tuple[Channel, int]]:
    """A channel to a worker, and its process id."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    channel = Channel(ours)
    try:
        with channel:
            yield channel, process.pid
    finally:
        try:
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
            process.wait()


async def told(channel: Channel) -> Any:
    """Wait for a message; return it without its handle."""
    message, _ = await channel.wait("message")
    return message


async def greeting(port: int) -> tuple[Socket, bytes]:
    client = net.connect(port, "127.0.0.1")
    return client, await client.recv()


async def counted(server: Server) -> int:
    log: list[Any] = []
    server.getConnections(noting(log, "count"))
    await until(log, "count")
    [(_, error, count)] = log
    assert error is None
    return int(count)


@contextmanager
def channels() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a channel in this process."""
    ours, theirs = socket.socketpair()
    with Channel(ours) as one, Channel(theirs) as other:
        yield one, other


# Messages.


@pytest.mark.parametrize(
    "message", [None, 5, "text €", [1, 2], {"a": [True, None]}, "x" * 300_000], ids=lambda m: type(m).__name__
)
def test_messages(message: Any) -> None:
    async def main() -> None:
        with channels() as (one, other):
            assert one.send(message) is one
            assert await other.wait("message") == (message, None)
            other.send([message])
            assert await one.wait("message") == ([message], None)

    run(main)


def test_messages_wait_until_somebody_listens() -> None:
    async def main() -> None:
        with channels() as (one, other):
            for n in range(3):
                one.send(n)
            await turns(5)
            assert [await other.wait("message") for _ in range(3)] == [(0, None), (1, None), (2, None)]

    run(main)


def test_messages_come_in_order() -> None:
    async def main() -> None:
        with channels() as (one, other):
            log: list[Any] = []
            other.on("message", lambda message, handle: log.append(message))
            for n in range(500):
                one.send("x" * 1000 + str(n))
            while len(log) < 500:
                await turns()
            assert log == ["x" * 1000 + str(n) for n in range(500)]

    run(main)


def test_what_is_no_message() -> None:
    async def main() -> None:
        with channels() as (one, _):
            with pytest.raises(TypeError):
                one.send(object())
            with pytest.raises(TypeError):
                one.send("x", object())  # type: ignore[arg-type]

    run(main)


def test_disconnecting() -> None:
    async def main() -> None:
        with channels() as (one, other):
            log = record(one, ["disconnect", "error"])
            record(other, ["disconnect"], log, "other ")
            one.disconnect()
            one.disconnect()
            assert not one.connected
            await until(log, "other disconnect")
            assert log == ["disconnect", "other disconnect"]
            one.send("too late")
            await turns()
            assert log[-1][1].code == "ERR_IPC_CHANNEL_CLOSED"
            assert isinstance(await failed(one.ask({"type": "count"})), socket2.Closed)

    run(main)


def test_a_channel_is_a_stream_socket(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file, pytest.raises(TypeError):
        Channel(file.fileno())


# Connections that move.


def test_a_connection_goes_to_another_process() -> None:
    async def main() -> None:
        with worker() as (channel, _):
            async with net.createServer({"allowHalfOpen": True}) as server:
                client = net.connect(await started(server), "127.0.0.1")
                conn = await server.accept()
                log = record(conn, ["end", "error", "close"])
                assert server.connections == 1
                channel.send({"do": "echo"}, conn)
                assert server.connections is None
                assert conn.destroyed
                assert await told(channel) == {"has": "socket", "bytesRead": 0}
                assert log == [("close", False)]
                assert await counted(server) == 1
                await client.send("hello")
                assert await client.recv() == b"hello"
                client.end("bye")
                assert await all_of(client) == b"bye"
                await ended(client)
                while await counted(server):
                    await turns()

    run(main)


def test_what_was_read_goes_along() -> None:
    async def main() -> None:
        with worker() as (channel, _):
            client, conn = await pair({"allowHalfOpen": True})
            client.write("early")
            while not conn.bytesRead:
                await turns()
            channel.send({"do": "echo"}, conn)
            assert await told(channel) == {"has": "socket", "bytesRead": 5}
            client.end(" and late")
            assert await all_of(client) == b"early and late"
            await ended(client)

    run(main)


def test_connections_elsewhere_are_counted_until_they_end() -> None:
    async def main() -> None:
        with worker() as (channel, _):
            async with net.createServer() as server:
                port = await started(server)
                clients = [net.connect(port, "127.0.0.1") for _ in range(3)]
                for client in clients:
                    client.on("error", ignore)
                    client.resume()
                conns = [await server.accept() for _ in clients]
                for conn in conns[:2]:
                    channel.send({"do": "keep"}, conn)
                assert await counted(server) == 3
                channel.send({"do": "drop"})
                while await counted(server) != 2:
                    await turns()
                channel.disconnect()
                await turns(5)
                assert await counted(server) == 1
                conns[2].destroy()
                await ended(*clients)

    run(main)


@pytest.mark.parametrize("state", ["unconnected", "destroyed", "ended", "writing"])
def test_connections_that_cannot_be_given_away(state: str) -> None:
    async def main() -> None:
        with channels() as (one, _):
            client, conn = await pair()
            conn.on("error", ignore)
            await turns()
            given = client
            if state == "unconnected":
                given = Socket()
            elif state == "destroyed":
                client.destroy()
            elif state == "ended":
                client.end()
            else:
                client.write(bytes(12_000_000))
            with pytest.raises(OSError, match=r"closed|still sending"):
                one.send("x", given)
            client.destroy()
            conn.destroy()

    run(main)


def test_nothing_is_given_away_without_a_channel() -> None:
    async def main() -> None:
        with channels() as (one, _):
            one.on("error", ignore)
            one.disconnect()
            client, conn = await pair()
            one.send("x", conn)
            assert not conn.destroyed
            client.destroy()
            conn.destroy()

    run(main)
