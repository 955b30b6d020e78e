"""socket2 and Trio's streams, each as server and client of the other. Trio's loop runs in an OS thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import socket2

from .peers import LIMIT_S, beside, echo_all, give_all, pattern, run, take_all

trio = pytest.importorskip("trio", reason="trio is not installed (pip install trio)")

CLIENTS = 20


def piece(at: int) -> bytes:
    """Return what client number `at` sends. One of them sends a lot, one nothing."""
    return pattern(at, [0, 3_000_000][at] if at < 2 else 10_000 * at)


def test_trio_is_the_client() -> None:
    async def visit(port: int, at: int) -> None:
        async def send() -> None:
            await stream.send_all(piece(at))
            await stream.send_eof()

        received = bytearray()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            async for data in stream:
                received += data
        assert received == piece(at)

    async def visit_all(port: int) -> None:
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                for at in range(CLIENTS):
                    nursery.start_soon(visit, port, at)

    async def serve() -> None:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        with beside(trio.run, visit_all, listener.local_address[1]), listener:
            echoes = [socket2.newthread(echo_all, await listener.accept()) for _ in range(CLIENTS)]
            for echo in echoes:
                await echo.join()

    run(serve)


class TrioServer:
    """An echo server in an OS thread, which runs until it is stopped."""

    def __init__(self) -> None:
        self.port = 0
        self.ready = threading.Event()
        self._token: Any = None
        self._scope: Any = None

    def run(self) -> None:
        try:
            trio.run(self._serve)
        finally:
            self.ready.set()

    def end(self) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._scope.cancel)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with trio.move_on_after(LIMIT_S) as self._scope:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            self.ready.set()
            await trio.serve_listeners(self._echo, listeners)

    async def _echo(self, stream: Any) -> None:
        async for data in stream:
            await stream.send_all(data)


def test_trio_is_the_server() -> None:
    server = TrioServer()

    async def visit(at: int) -> None:
        with socket2.tcp() as conn:
            await conn.connect("127.0.0.1", server.port)
            sender = socket2.newthread(give_all, conn, piece(at))
            assert await take_all(conn) == piece(at)
            await sender.join()

    async def visit_all() -> None:
        for visitor in [socket2.newthread(visit, at) for at in range(CLIENTS)]:
            await visitor.join()

    with beside(server.run):
        try:
            assert server.ready.wait(LIMIT_S)
            run(visit_all)
        finally:
            server.end()


def test_trio_speaks_our_datagrams() -> None:
    """Trio is the client: each datagram that it sends comes back."""
    sizes = [0, 1, 1472, 60_000]

    async def visit(port: int) -> None:
        with trio.fail_after(LIMIT_S), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.connect(("127.0.0.1", port))
            for size in sizes:
                await sock.send(pattern(size, size))
                assert await sock.recv(65536) == pattern(size, size)

    async def serve() -> None:
        with socket2.udp() as sock:
            sock.bind("127.0.0.1")
            with beside(trio.run, visit, sock.getsockname()[1]):
                for _ in sizes:
                    await sock.sendto(*await sock.recvfrom(65536))

    run(serve)
