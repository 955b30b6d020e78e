"""Server: connections, their number, pauses, closing, and what keeps the loop running."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import BlockList, Server, Socket

from ..interop.peers import LIMIT_S, beside, connect
from .scene import SERVER_EVENTS, all_of, ended, noting, record, run, started, turns


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


# Closing.


def test_close_waits_for_the_connections() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["close"])
        port = await started(server)
        client = net.connect(port, "127.0.0.1")
        conn = await server.accept()
        record(conn, ["close"], log, "connection ")
        assert server.close(noting(log, "closed")) is server
        assert not server.listening
        assert server.address() is None
        await turns()
        assert log == []
        conn.destroy()
        assert log == []
        client.destroy()
        await server.wait("close")
        await turns()
        assert log == [("connection close", False), "close", ("closed", None)]

    run(main)


def test_close_is_told_in_a_later_turn() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["close"])
        await started(server)
        server.close()
        assert log == []
        await turns()
        assert log == ["close"]

    run(main)


def test_closing_twice() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["close"])
        await started(server)
        server.close(noting(log, "first"))
        server.close(noting(log, "second"))
        await turns()
        [event, first, (second, error)] = log
        assert (event, first, second) == ("close", ("first", None), "second")
        assert error.code == "ERR_SERVER_NOT_RUNNING"
        server.close()
        await turns()
        assert len(log) == 3

    run(main)


def test_closing_what_never_listened() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["close"])
        server.close(noting(log, "closed"))
        await turns()
        [event, (closed, error)] = log
        assert (event, closed, error.code) == ("close", "closed", "ERR_SERVER_NOT_RUNNING")

    run(main)


def test_closing_in_the_listener_of_connection() -> None:
    async def main() -> None:
        def close(conn: Socket) -> None:
            conn.end("bye")
            server.close()

        server = net.createServer(close)
        client = net.connect(await started(server), "127.0.0.1")
        assert await all_of(client) == b"bye"
        await server.wait("close")

    run(main)


def test_close_all_connections() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: None) as server:
            made = await clients(await started(server), 3)
            while server.connections != 3:
                await turns()
            server.closeAllConnections()
            assert server.connections == 0
            assert server.listening
            for client in made:
                client.resume()
                await ended(client)

    run(main)


def test_a_with_block_closes() -> None:
    async def main() -> None:
        with net.createServer() as server:
            await started(server)
        assert not server.listening

    run(main)


# What keeps the loop running.


def test_a_listening_server_keeps_the_loop_going() -> None:
    server = net.createServer(lambda conn: None).listen(0, "127.0.0.1")
    assert not socket2.start(0.02)
    server.close()
    assert socket2.start(LIMIT_S)


def test_an_unreferenced_server_does_not() -> None:
    server = net.createServer(lambda conn: None).listen(0, "127.0.0.1")
    assert server.unref() is server
    assert socket2.start(LIMIT_S)
    assert server.listening
    assert server.ref() is server
    assert not socket2.start(0.02)
    server.close()
    assert socket2.start(LIMIT_S)


def test_an_unreferenced_server_still_serves() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.end("hello")) as server:
            server.unref()
            client = net.connect(await started(server), "127.0.0.1")
            assert await all_of(client) == b"hello"
            await ended(client)

    run(main)


# Errors.


def test_an_error_nobody_listens_to_is_reported(crashes: list[BaseException]) -> None:
    async def main() -> None:
        async with net.createServer() as first:
            net.createServer().listen(await started(first), "127.0.0.1")
            await turns()

    run(main)
    [error] = crashes
    assert isinstance(error, OSError)
    crashes.clear()


def test_a_listener_that_fails_costs_its_connection_only(crashes: list[BaseException]) -> None:
    async def main() -> None:
        def fail_once(conn: Socket) -> None:
            if not crashes:
                raise ValueError("oops")
            conn.end("hello")

        async with net.createServer(fail_once) as server:
            port = await started(server)
            first = net.connect(port, "127.0.0.1")
            assert await all_of(first) == b""
            assert await all_of(net.connect(port, "127.0.0.1")) == b"hello"

    run(main)
    assert [str(error) for error in crashes] == ["oops"]
    crashes.clear()


def test_the_options_of_a_server_are_its_sockets() -> None:
    async def main() -> None:
        options = {"noDelay": True, "keepAlive": True, "keepAliveInitialDelay": 30000, "highWaterMark": 5}
        options |= {"keepAliveInterval": 5000, "keepAliveCount": 3}
        async with net.createServer({**options, "maxBufferSize": 77, "allowHalfOpen": True}) as server:
            client = net.connect(await started(server), "127.0.0.1")
            conn = await server.accept()
            sock = conn._tcp
            assert sock is not None
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            assert (conn.writableHighWaterMark, conn.readableHighWaterMark, conn.maxBufferSize) == (5, 5, 77)
            assert conn.allowHalfOpen
            conn.destroy()
            client.destroy()

    run(main)


def test_blocking_clients_of_an_evented_server() -> None:
    async def main() -> None:
        def ask(port: int) -> bytes:
            with connect("127.0.0.1", port) as sock:
                sock.sendall(b"question")
                return sock.recv(100)

        async with net.createServer(lambda conn: conn.on("data", lambda data: conn.end(data.upper()))) as server:
            port = await started(server)
            with beside(ask, port) as one, beside(ask, port) as other:
                while server.connections or not (one.is_alive() or other.is_alive()):
                    await turns()
                    if not one.is_alive() and not other.is_alive():
                        break
                while one.is_alive() or other.is_alive():
                    await turns()
                assert one.outcome() == other.outcome() == b"QUESTION"

    run(main)


def test_events_of_a_server_in_order() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, SERVER_EVENTS)
        client = net.connect(await started(server), "127.0.0.1")
        conn = await server.wait("connection")
        conn.destroy()
        server.close()
        await server.wait("close")
        await ended(client)
        assert log == ["listening", ("connection", conn), "close"]

    run(main)
