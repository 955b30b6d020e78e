"""Server: connections, their number, pauses, closing, and what keeps the loop running."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import net
from socket2.net import BlockList, Server, Socket

from .scene import all_of, ended, noting, record, run, started, turns


async def clients(port: int, count: int) -> list[Socket]:
    """Connect some clients, one after the other."""
    made = []
    for _ in range(count):
        client = net.connect(port, "127.0.0.1")
        await client.wait("connect")
        made.append(client)
    return made


# Creating.


@pytest.mark.parametrize(
    "make",
    [
        lambda listener: net.createServer(listener),
        lambda listener: net.createServer({}, listener),
        lambda listener: net.createServer(None, listener),
        lambda listener: net.createServer({"allowHalfOpen": True}, listener),
        lambda listener: net.createServer(listener, allowHalfOpen=True),
        lambda listener: Server(listener),
    ],
)
def test_forms_of_create_server(make: Callable[[Any], Server]) -> None:
    async def main() -> None:
        log: list[Any] = []

        def take(conn: Socket) -> None:
            log.append(conn)
            conn.destroy()

        async with make(take) as server:
            port = await started(server)
            client = net.connect(port, "127.0.0.1")
            await ended(client)
        assert [type(conn) for conn in log] == [Socket]

    run(main)


@pytest.mark.parametrize("options", [5, "options", ["allowHalfOpen"]])
def test_options_that_are_no_dictionary(options: Any) -> None:
    with pytest.raises(TypeError):
        net.createServer(options)


def test_an_unknown_option() -> None:
    with pytest.raises(TypeError, match="allowHalfopen"):
        net.createServer({"allowHalfopen": True})


# Connections.


def test_a_connection_is_complete_when_it_is_told() -> None:
    async def main() -> None:
        def check(conn: Socket) -> None:
            log.append((conn.server is server, server.connections, conn.readyState, conn.remoteAddress))
            conn.destroy()

        log: list[Any] = []
        async with net.createServer(check) as server:
            client = net.connect(await started(server), "127.0.0.1")
            await ended(client)
        assert log == [(True, 1, "open", "127.0.0.1")]

    run(main)


def test_what_came_before_the_listener_has_looked_is_not_lost() -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}) as server:
            port = await started(server)
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.sendall(b"early")
                peer.shutdown(socket.SHUT_WR)
                conn = await server.accept()
                await turns()
                assert await all_of(conn) == b"early"
                conn.destroy()

    run(main)


def test_connections_wait_while_nobody_takes_them() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server)
            with socket.create_connection(("127.0.0.1", port)):
                await turns()
                assert server.connections == 0
                conn = await server.accept()
                assert server.connections == 1
                conn.destroy()

    run(main)


def test_get_connections() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: None) as server:
            log: list[Any] = []
            made = await clients(await started(server), 3)
            while server.connections != 3:
                await turns()
            assert server.getConnections(noting(log, "count")) is server
            assert log == []
            await turns()
            assert log == [("count", None, 3)]
            for client in made:
                client.destroy()
            server.closeAllConnections()

    run(main)


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_max_connections(limit: int) -> None:
    async def main() -> None:
        async with net.createServer() as server:
            log = record(server, ["connection", "drop"])
            server.maxConnections = limit
            port = await started(server)
            made = [net.connect(port, "127.0.0.1") for _ in range(3)]
            for client in made:
                client.resume()
            while len(log) < 3:
                await turns()
            assert [entry[0] for entry in log].count("connection") == limit
            for event, data in log:
                if event == "drop":
                    assert data["localAddress"] == data["remoteAddress"] == "127.0.0.1"
                    assert data["localFamily"] == data["remoteFamily"] == "IPv4"
                    assert data["localPort"] == port
                    assert data["remotePort"] > 0
            server.closeAllConnections()
            for client in made:
                client.on("error", lambda error: None)  # a reset if it was not accepted yet
                await ended(client)

    run(main)


def test_without_a_limit_there_is_none() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.destroy()) as server:
            assert server.maxConnections is None
            for client in await clients(await started(server), 5):
                client.resume()
                await ended(client)

    run(main)


def test_a_server_drops_who_is_blocked() -> None:
    async def main() -> None:
        blocked = BlockList()
        blocked.addAddress("127.0.0.1")
        async with net.createServer({"blockList": blocked}) as server:
            log = record(server, ["connection", "drop"])
            client = net.connect(await started(server), "127.0.0.1")
            client.on("error", lambda error: None)
            client.resume()
            await ended(client)
            while not log:
                await turns()
            assert [event for event, _ in log] == ["drop"]

    run(main)


# Pausing.


def test_a_paused_server_accepts_nothing_for_a_while() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            log = record(server, ["connection"])
            port = await started(server)
            assert server.pause(50) is server
            server.pause(10**9)  # it is paused already: no effect
            with socket.create_connection(("127.0.0.1", port)):
                await turns(10)
                assert log == []
                conn = await server.wait("connection")
                conn.destroy()

    run(main)


def test_pausing_in_the_listener_of_connection() -> None:
    async def main() -> None:
        def pause(conn: Socket) -> None:
            conn.destroy()
            server.pause(20)

        async with net.createServer(pause) as server:
            port = await started(server)
            log = record(server, ["connection"])
            with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                await server.wait("connection")
                await turns(5)
                assert len(log) == 1
                await server.wait("connection")

    run(main)


def test_closing_a_paused_server() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: None) as server:
            await started(server)
            server.pause(10**9)

    run(main)
