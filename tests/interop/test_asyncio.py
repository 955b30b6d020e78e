"""socket2 and asyncio's streams, each as server and client of the other. asyncio's loop runs in an OS thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import socket2

from .peers import LIMIT_S, beside, echo_all, give_all, pattern, run, take_all

CLIENTS = 20


def limited(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, LIMIT_S))


def piece(at: int) -> bytes:
    """Return what client number `at` sends. One of them sends a lot, one nothing."""
    return pattern(at, [0, 3_000_000][at] if at < 2 else 10_000 * at)


def test_asyncio_is_the_client() -> None:
    async def visit(port: int, at: int) -> None:
        async def send() -> None:
            writer.write(piece(at))
            await writer.drain()
            writer.write_eof()

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        back, _ = await asyncio.gather(reader.read(-1), send())
        assert back == piece(at)
        writer.close()
        await writer.wait_closed()

    async def visit_all(port: int) -> None:
        await asyncio.gather(*(visit(port, at) for at in range(CLIENTS)))

    async def serve() -> None:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        with beside(lambda port: limited(visit_all(port)), listener.local_address[1]), listener:
            echoes = [socket2.newthread(echo_all, await listener.accept()) for _ in range(CLIENTS)]
            for echo in echoes:
                await echo.join()

    run(serve)


class AsyncioServer:
    """An echo server in an OS thread, which runs until it is stopped."""

    def __init__(self) -> None:
        self.port = 0
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def run(self) -> None:
        try:
            limited(self._serve())
        finally:
            self.ready.set()

    def end(self) -> None:
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._echo, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        async with server:
            await self._end.wait()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


def test_asyncio_is_the_server() -> None:
    server = AsyncioServer()

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


def test_asyncio_speaks_our_datagrams() -> None:
    """asyncio is the client: each datagram that it sends comes back. It does not send empty ones."""
    sizes = [1, 1472, 60_000]

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.received: asyncio.Queue[bytes] = asyncio.Queue()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.received.put_nowait(data)

    async def visit(port: int) -> None:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", port))
        for size in sizes:
            transport.sendto(pattern(size, size))
            assert await client.received.get() == pattern(size, size)
        transport.close()

    async def serve() -> None:
        with socket2.udp() as sock:
            sock.bind("127.0.0.1")
            with beside(lambda port: limited(visit(port)), sock.getsockname()[1]):
                for _ in sizes:
                    await sock.sendto(*await sock.recvfrom(65536))

    run(serve)
