"""A socket's life: states and names, half-open connections, timeouts, destruction, and the last events."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from socket2 import net
from socket2.net import Socket

from ..machine import needs_ipv6
from .scene import all_of, ended, failed, pair, record, run, started, turns, until


@asynccontextmanager
async def connected(server_options: Any = None, **options: Any) -> AsyncIterator[tuple[Socket, Socket]]:
    """A client and the server's socket for it, both destroyed afterwards."""
    client, conn = await pair(server_options, **options)
    await turns()
    try:
        yield client, conn
    finally:
        client.destroy()
        conn.destroy()


# States.


def test_states() -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}) as server:
            client = Socket(allowHalfOpen=True)
            assert (client.readyState, client.pending, client.connecting, client.destroyed) == (
                "closed",
                True,
                False,
                False,
            )
            client.connect(await started(server), "127.0.0.1")
            assert (client.readyState, client.pending, client.connecting) == ("opening", True, True)
            assert not client.readable
            assert not client.writable
            await client.wait("connect")
            assert (client.readyState, client.pending, client.connecting) == ("open", False, False)
            assert client.readable
            assert client.writable
            conn = await server.accept()
            conn.end()
            await client.wait("end")
            assert client.readyState == "writeOnly"
            client.end()
            assert client.readyState == "closed"
            await client.wait("close")
            assert client.destroyed
            await ended(conn)

    run(main)


def test_read_only() -> None:
    async def main() -> None:
        async with connected({"allowHalfOpen": True}) as (client, _):
            client.end()
            assert client.readyState == "readOnly"

    run(main)


# Addresses.


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "IPv4"), pytest.param("::1", "IPv6", marks=needs_ipv6)])
def test_addresses(host: str, family: str) -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server, 0, host)
            assert server.address() == {"address": host, "family": family, "port": port}
            client = Socket()
            names = ["remoteAddress", "remotePort", "remoteFamily", "localAddress", "localPort", "localFamily"]
            assert {name: getattr(client, name) for name in names} == dict.fromkeys(names)
            assert client.address() == {}
            client.connect(port, host)
            conn = await server.accept()
            while client.pending:
                await turns()
            assert (client.remoteAddress, client.remotePort, client.remoteFamily) == (host, port, family)
            assert (client.localAddress, client.localPort, client.localFamily) == (host, conn.remotePort, family)
            assert client.address() == {"address": host, "family": family, "port": client.localPort}
            for one in (client, conn):
                one.destroy()
                assert {name: getattr(one, name) for name in names} == dict.fromkeys(names)
                assert one.address() == {}

    run(main)


def test_addresses_of_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with net.createServer() as server:
            await started(server, path)
            client = net.connect(path)
            conn = await server.accept()
            await turns()
            assert (client.remoteAddress, client.remotePort, client.remoteFamily) == (path, None, None)
            assert (conn.localAddress, conn.address()) == (path, path)
            assert repr(conn)
            client.destroy()
            conn.destroy()

    run(main)


def test_the_peer_of_a_connection_that_it_has_reset() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.pause()
            client.resetAndDestroy()
            assert conn.remotePort is None or conn.remotePort > 0

    run(main)


# Half-open.


def test_the_end_of_both_by_default() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(conn, ["end", "finish", "close"])
            client.resume()
            client.end()
            await until(log, "close")
            assert log == ["end", "finish", ("close", False)]
            await ended(client)

    run(main)


def test_what_is_queued_is_sent_before_the_end() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(conn, ["end", "finish", "close"])
            much = bytes(12_000_000)
            conn.write(much)
            client.end()
            await until(log, "end")
            assert log == ["end"]
            assert await all_of(client) == much
            await until(log, "close")
            assert log == ["end", "finish", ("close", False)]

    run(main)


def test_half_open() -> None:
    async def main() -> None:
        async with connected({"allowHalfOpen": True}) as (client, conn):
            log = record(conn, ["end", "finish", "close"])
            client.end()
            await until(log, "end")
            await turns(5)
            assert (conn.readable, conn.writable) == (False, True)
            conn.end("after the end")
            assert await all_of(client) == b"after the end"
            await until(log, "close")
            assert log == ["end", "finish", ("close", False)]

    run(main)


def test_when_both_have_ended_the_kernels_socket_is_closed_and_what_came_can_be_read() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server)
            with socket.create_connection(("127.0.0.1", port)) as peer:
                conn = await server.accept()
                peer.sendall(b"unread")
                peer.shutdown(socket.SHUT_WR)
                conn.end()
                while server.connections:
                    await turns()
                assert conn.remotePort == peer.getsockname()[1]
                log = record(conn, ["end", "close"])
                await turns()
                assert await failed(connecting(conn, port))
                assert log == []
                assert await all_of(conn) == b"unread"
                await until(log, "close")
                assert log == ["end", ("close", False)]

    async def connecting(conn: Socket, port: int) -> None:
        conn.connect(port, "127.0.0.1")

    run(main)
