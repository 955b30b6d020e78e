"""server.stopping and current_server(): connections that last learn of a stop, and end in their own way."""

from __future__ import annotations

import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Event,
    Lock,
    Server,
    current_server,
    first,
    newthread,
    run,
    serve,
    serve_threads,
    sleep,
    threadset,
)

from ..interop.peers import LIMIT_S
from .test_server import connected, everything, until

Steps = Generator[Any, Any, Any]


def talks(conn: TCP) -> Steps:
    """Serve a client until it leaves, or until the server stops."""
    stopping = current_server().stopping
    sending = Lock()
    with threadset() as ts:
        ts.newthread(says_goodbye, conn, sending)
        while data := (yield from conn.recv(1 << 20)):
            with (yield from sending.acquire()):
                if not stopping.is_set():
                    yield from conn.sendall(data)
        ts.cancel()
        yield from ts.join()


def says_goodbye(conn: TCP, sending: Lock) -> Steps:
    yield from current_server().stopping.wait()
    with (yield from sending.acquire()):
        yield from conn.sendall(b"goodbye")
        conn.shutdown()


def test_a_goodbye_comes_after_an_answer_that_is_being_sent() -> None:
    def main() -> Steps:
        server = Server(talks)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as client:
            sending = newthread(client.sendall, b"x" * 20_000_000)
            yield from until(lambda: is_sending(server))  # the client does not receive
            stopping = newthread(server.stop, LIMIT_S)
            yield from server.stopping.wait()
            got = b""
            while data := (yield from client.recv(1 << 20)):
                got += data
            assert got.strip(b"x") == b"goodbye"
            yield from sending.join()
        assert (yield from stopping.join()) == 0

    def is_sending(server: Server) -> bool:
        threads = [connection.thread for connection in server._connections]
        return any(thread is not None and "send" in repr(thread.waiting_on) for thread in threads)

    run(main)


def test_an_event_that_is_not_set_is_no_less_true_than_others() -> None:
    stopping = Server(talks).stopping
    assert type(stopping) is Event
    assert stopping
    assert not stopping.is_set()


def test_long_connections_say_goodbye() -> None:
    def main() -> Steps:
        server = Server(talks)
        yield from server.listen("127.0.0.1")
        clients = []
        for _ in range(3):
            clients.append((yield from connected(server.addresses[0])))
        yield from until(lambda: server.connections == 3)
        yield from clients[0].sendall(b"hello")
        assert (yield from clients[0].recv(100)) == b"hello"
        stopping = newthread(server.stop, LIMIT_S)
        for client in clients:
            assert (yield from everything(client)) == b"goodbye"
            client.close()
        assert (yield from stopping.join()) == 0

    run(main)


def test_a_handler_waits_for_the_stop_itself() -> None:
    async def handler(conn: TCP) -> None:
        await current_server().stopping.wait()
        await conn.sendall(b"goodbye")

    def ready(server: Server) -> Steps:
        assert isinstance(server.stopping, Event)
        assert not server.stopping.is_set()
        assert not server.stopping.is_set()
        with (yield from connected(server.addresses[0])) as client:
            yield from until(lambda: server.connections == 1)
            newthread(server.stop, LIMIT_S)
            assert (yield from everything(client)) == b"goodbye"
        assert server.stopping.is_set()
        yield from server.stopping.wait()

    assert run(lambda: serve(handler, "127.0.0.1", signals=(), ready=ready)) == 0


def test_a_handler_waits_for_the_client_and_for_the_stop() -> None:
    async def handler(conn: TCP) -> None:
        stopping = current_server().stopping
        while data := await first(partial(conn.recv, 100), stopping.wait):
            await conn.sendall(data.upper())
        await conn.sendall(b"goodbye")

    def ready(server: Server) -> Steps:
        with (yield from connected(server.addresses[0])) as client:
            yield from client.sendall(b"hello")
            assert (yield from client.recv(100)) == b"HELLO"
            newthread(server.stop, LIMIT_S)
            assert (yield from everything(client)) == b"goodbye"

    assert run(lambda: serve(handler, "127.0.0.1", signals=(), ready=ready)) == 0


def test_it_is_set_when_no_listener_is_left() -> None:
    def main() -> Steps:
        server = Server(talks)
        yield from server.listen("127.0.0.1")
        waiting = newthread(server.stopping.wait)
        (listener,) = server._accepting
        listener.close()
        yield from waiting.join()
        assert server.stopping.is_set()
        yield from server.wait()

    run(main)


def test_several_os_threads_serve() -> None:
    def handler(conn: TCP) -> Steps:
        barrier.wait(LIMIT_S)  # the handlers run in two OS threads
        yield from current_server().stopping.wait()
        yield from conn.sendall(b"goodbye")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        clients = [(yield from connected(server.addresses[0])), (yield from connected(server.addresses[0]))]
        yield from until(lambda: server.connections == 2)
        stopping = newthread(server.stop, LIMIT_S)
        for client in clients:
            assert (yield from everything(client)) == b"goodbye"
            client.close()
        assert (yield from stopping.join()) == 0

    barrier = threading.Barrier(2)
    thread = newthread(main)
    assert serve_threads(3)
    thread.result()


def test_who_has_no_server() -> None:
    with pytest.raises(RuntimeError, match="only in a handler"):
        current_server()

    def main() -> Steps:
        with pytest.raises(RuntimeError, match="only in a handler"):
            current_server()
        yield from sleep(0)

    run(main)
    assert socket2.current_server is current_server
