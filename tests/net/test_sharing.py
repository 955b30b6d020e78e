"""Sockets and servers of a scheduler with several OS threads: no byte is lost or moved, no event is out of order."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from pollers import lock
from socket2 import net
from socket2.net import Server, Socket

from ..interop.peers import LIMIT_S, pattern
from .scene import all_of, ended, port_of, record

CLIENTS = 12
SIZE = 300_000
BYTES = pattern(95, SIZE + CLIENTS)


def toil(data: bytes) -> None:
    """Keep this OS thread busy for longer than a tick, without the GIL."""
    hashlib.pbkdf2_hmac("sha256", data[:64], b"salt", 4000)


def by_listener(conn: Socket) -> None:
    def answer(data: bytes) -> None:
        toil(data)
        if not conn.write(data):
            conn.pause()

    conn.on("data", answer)
    conn.on("drain", conn.resume)


async def by_thread(conn: Socket) -> None:
    async for data in conn:
        toil(data)
        await conn.send(data)
    conn.end()


def by_pipe(conn: Socket) -> None:
    conn.pipe(conn)
    conn.on("data", toil)


@pytest.mark.parametrize("echo", [by_listener, by_thread, by_pipe])
def test_an_echo_server_of_several_os_threads(echo: Callable[[Socket], Any]) -> None:
    wrong: list[Any] = []
    os_threads: set[int] = set()
    another = threading.Event()

    def at_end() -> None:
        """The first caller waits until another OS thread calls this: one of the standby members has to take over."""
        first = not os_threads
        os_threads.add(threading.get_ident())
        if len(os_threads) > 1:
            another.set()
        elif first:
            assert another.wait(LIMIT_S)

    def serve(conn: Socket) -> Any:
        conn.on("end", at_end)
        if echo is not by_thread:
            conn.on("end", conn.end)
        return echo(conn)

    async def visit(number: int, port: int) -> None:
        data = BYTES[number : number + SIZE]
        client = net.connect(port, "127.0.0.1")
        log = record(client, ["connect", "end", "finish", "close"])
        for at in range(0, SIZE, 10_000):
            client.write(data[at : at + 10_000])
        client.end()
        if await all_of(client) != data:
            wrong.append(f"client {number} got something else")
        await ended(client)
        while ("close", False) not in log:
            await socket2.sleep(0)
        if sorted(map(str, log)) != sorted(map(str, ["connect", "end", "finish", ("close", False)])):
            wrong.append(log)

    async def visits(server: Server) -> None:
        with socket2.timeout(LIMIT_S):
            for visitor in [socket2.newthread(visit, number, port_of(server)) for number in range(CLIENTS)]:
                await visitor.join()
        server.close()

    for _ in range(3):
        server = net.createServer({"allowHalfOpen": True}, serve)
        server.on("listening", lambda server=server: socket2.newthread(visits, server))
        server.listen(0, "127.0.0.1")
        assert socket2.serve_threads(3)
        assert wrong == []
        assert not server.listening
    assert len(os_threads) > 1


class Watch:
    """Listeners of one emitter. They must never run at the same time, nor under the process-wide lock."""

    def __init__(self, wrong: list[str], name: str) -> None:
        self._wrong = wrong
        self._name = name
        self._inside: list[str] = []
        self.ran: set[str] = set()

    def during(self, event: str, act: Callable[..., Any] | None = None) -> Callable[..., None]:
        def listener(*args: Any) -> None:
            if self._inside:
                self._wrong.append(f"{event} of {self._name} during {self._inside[-1]}")
            if lock._is_owned():  # type: ignore[attr-defined]
                self._wrong.append(f"{event} of {self._name} under the lock")
            self._inside.append(event)
            self.ran.add(event)
            toil(b"x" * 64)
            if act is not None:
                act(*args)
            self._inside.pop()

        return listener


@pytest.mark.parametrize("members", [2, 4, 8])
def test_listeners_of_one_emitter_run_one_after_the_other(members: int) -> None:
    wrong: list[str] = []
    ran: set[str] = set()
    serving = Watch(wrong, "the server")

    def serve(conn: Socket) -> None:
        watch = Watch(wrong, "a connection")
        conn.setTimeout(1)
        conn.on("data", watch.during("data", lambda data: conn.write(data + data, watch.during("written"))))
        conn.on("end", watch.during("end", conn.end))
        for event in ("timeout", "drain", "finish", "close"):
            conn.on(event, watch.during(event))
        conn.on("pause", watch.during("pause"))
        conn.on("close", lambda _: ran.update(watch.ran))

    async def visit(port: int) -> None:
        watch = Watch(wrong, "a client")
        client = net.connect(port, "127.0.0.1", watch.during("connect"))
        for event in ("ready", "end", "finish", "resume", "pause", "timeout", "drain"):
            client.on(event, watch.during(event))
        client.on("data", watch.during("data"))
        client.setTimeout(1)
        for _ in range(10):
            client.write(bytes(20_000), watch.during("written"))
            client.pause()
            await socket2.sleep(0.002)
            client.resume()
        client.end(watch.during("ended"))
        await client.wait("close")
        ran.update(watch.ran)

    async def visits(server: Server) -> None:
        with socket2.timeout(LIMIT_S):
            for visitor in [socket2.newthread(visit, port_of(server)) for _ in range(CLIENTS)]:
                await visitor.join()
        server.close()

    server = net.createServer({"allowHalfOpen": True, "highWaterMark": 1000})
    server.on("connection", serving.during("connection", serve))
    server.on("close", serving.during("close"))
    server.on("listening", serving.during("listening", lambda: socket2.newthread(visits, server) and None))
    server.listen(0, "127.0.0.1")
    assert socket2.serve_threads(members)
    assert wrong == []
    assert serving.ran == {"connection", "close", "listening"}
    assert ran >= {
        "connect",
        "ready",
        "data",
        "end",
        "finish",
        "pause",
        "resume",
        "timeout",
        "written",
        "ended",
        "close",
    }


def test_a_connection_that_comes_while_another_os_thread_destroys_its_socket_is_closed() -> None:
    socket = net.Socket()
    socket.destroy()
    with socket2.tcp() as conn:
        socket._adopt(conn, True, True, told=True)
        assert conn.closed
    socket2.start()


def test_no_event_comes_before_the_listeners_of_connection_have_been_called() -> None:
    """They block this OS thread until another one has closed all connections, and has made its posted calls."""
    closed: list[bool] = []
    is_there, has_gone = threading.Event(), threading.Event()

    def blocks(_: Socket) -> None:
        is_there.set()
        assert has_gone.wait(LIMIT_S)

    server = Server(blocks)
    server.on("connection", lambda conn: conn.on("close", closed.append) and None)

    async def main() -> None:
        server.listen(0, "127.0.0.1")
        await server.wait("listening")
        with socket2.timeout(LIMIT_S):
            with await socket2.connect("127.0.0.1", port_of(server)):
                await socket2.call_in_thread(is_there.wait)
                server.close()
                server.closeAllConnections()
                for _ in range(10):
                    await socket2.sleep(0)
                has_gone.set()

    socket2.newthread(main)
    assert socket2.serve_threads(2)
    assert closed == [False]


def test_a_reset_may_meet_an_os_thread_that_closes_the_socket() -> None:
    async def main() -> None:
        with Server() as server:
            server.listen(0, "127.0.0.1")
            await server.wait("listening")
            client = net.connect(port_of(server), "127.0.0.1")
            conn = await server.accept()
            assert conn._tcp is not None
            conn._tcp.close()
            conn.resetAndDestroy()
            assert conn.destroyed
            client.destroy()

    socket2.run(main)
    assert socket2.start(LIMIT_S)
