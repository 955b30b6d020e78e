"""Server: closing, what keeps the loop running, and errors."""

from __future__ import annotations

import socket

import socket2
from socket2 import net
from socket2.net import Socket

from ..interop.peers import LIMIT_S, beside, connect
from .scene import SERVER_EVENTS, all_of, ended, noting, record, run, started, turns
from .test_server import clients

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
