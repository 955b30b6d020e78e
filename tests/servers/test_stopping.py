"""Servers: how they stop."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from socket2 import (
    TCP,
    Event,
    Server,
    newthread,
    run,
    sleep,
    suspend,
    threadset,
    timeout,
)

from ..interop.peers import LIMIT_S, connect, receive_all
from .test_server import ask, connected, echo, everything, refused, several, turns, until

Steps = Generator[Any, Any, Any]


# Stopping.


def test_stop_lets_handlers_finish() -> None:
    def main() -> Steps:
        stopping = Event()

        def handler(conn: TCP) -> Steps:
            data = yield from conn.recv(100)
            yield from stopping.wait()
            yield from conn.sendall(data)

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with threadset(keep_outcomes=True) as ts:
            for at in range(5):
                ts.newthread(ask, server.addresses[0], b"%d" % at)
            yield from until(lambda: server.connections == 5)
            ts.newthread(server.stop, LIMIT_S)
            assert server.stopping.is_set()
            stopping.set()
            assert (yield from server.wait()) == 0
            assert (yield from ts.join()) == [*(b"%d" % at for at in range(5)), 0]
        yield from refused(server.addresses[0])
        assert (yield from server.stop()) == 0
        assert (yield from server.wait()) == 0

    run(main)


def test_a_stop_after_the_program_has_set_the_event_itself() -> None:
    """It went on accepting until the grace was over."""

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        server.stopping.set()
        with timeout(LIMIT_S):
            yield from server.stop(10 * LIMIT_S)
        yield from refused(server.addresses[0])

    run(main)


def test_what_the_kernel_had_queued_is_answered() -> None:
    """Five clients wait in the queue, since the server is full. They are accepted when it stops."""

    def main() -> Steps:
        server = Server(echo, max_connections=1)
        yield from server.listen("127.0.0.1")
        busy = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        with threadset(keep_outcomes=True) as ts:
            for at in range(5):
                client = yield from connected(server.addresses[0])
                yield from client.sendall(b"%d" % at)
                client.shutdown(socket.SHUT_WR)
                ts.newthread(all_of, client)
            assert server.connections == 1
            stopping = newthread(server.stop, LIMIT_S)
            yield from refused_soon(server)
            busy.close()
            assert (yield from ts.join()) == [b"%d" % at for at in range(5)]
            assert (yield from stopping.join()) == 0

    def all_of(client: TCP) -> Steps:
        with client:
            return (yield from everything(client))

    def refused_soon(server: Server) -> Steps:
        yield from until(lambda: not server._accepting)
        yield from refused(server.addresses[0])

    run(main)


def test_a_stop_ends_though_clients_do_not_cease_to_come() -> None:
    """Each greeted client brings another one. All that were accepted get an answer, and none delays the stop."""

    def main() -> Steps:
        clients: list[socket.socket] = []

        def handler(conn: TCP) -> Steps:
            yield from sleep(0)
            with suppress(ConnectionRefusedError):
                clients.append(connect(*server.addresses[0]))
            yield from conn.sendall(b"hello")

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        clients.append(connect(*server.addresses[0]))
        yield from until(lambda: len(clients) > 20)
        assert (yield from server.stop(LIMIT_S)) == 0
        for client in clients:
            with client:
                assert receive_all(client) == b"hello"

    run(main)


def test_who_does_not_finish_is_cut_off_and_counted() -> None:
    ended: list[str] = []

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from conn.sendall(b"goodbye")
            ended.append("cleaned up")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        clients = yield from several(3, server.addresses[0])
        yield from until(lambda: server.connections == 3)
        begun = monotonic()
        first = newthread(server.stop, LIMIT_S)
        yield from turns()
        assert not first.done
        assert (yield from server.stop(0.02)) == 3
        assert 0.02 <= monotonic() - begun < LIMIT_S / 2
        assert (yield from first.join()) == 3
        assert (yield from server.wait()) == 3
        for client in clients:
            assert (yield from everything(client)) == b"goodbye"
            client.close()

    run(main)
    assert len(ended) == 3


def test_a_thread_that_hangs_in_its_cleanup_has_its_socket_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket2.servers.server.CLEANUP_S", 0.02)

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from conn.recv(1)

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        assert (yield from server.stop(0)) == 1
        assert server.connections == 0
        assert (yield from everything(client)) == b""
        client.close()

    run(main)


def test_a_thread_that_never_ends_does_not_hold_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("socket2.servers.server.CLEANUP_S", 0.02)
    let_go = Event()

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from let_go.wait()

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        assert (yield from server.stop(0)) == 1
        assert (yield from everything(client)) == b""
        client.close()
        let_go.set()
        yield from until(lambda: server.connections == 0)

    run(main)
    assert "did not end" in caplog.text


def test_stop_without_a_listener_or_a_connection() -> None:
    def main() -> Steps:
        server = Server(echo)
        assert (yield from server.stop()) == 0
        with pytest.raises(ValueError, match="negative"):
            server.stop(-1)

    run(main)


def test_a_stop_that_is_cancelled_can_be_made_again() -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        with pytest.raises(TimeoutError), timeout(0.01):
            yield from server.stop(LIMIT_S)
        yield from client.sendall(b"still served")
        assert (yield from client.recv(100)) == b"still served"
        yield from refused(server.addresses[0])
        client.close()
        assert (yield from server.stop()) == 0

    run(main)


def test_a_handler_can_stop_its_server() -> None:
    def main() -> Steps:
        def handler(conn: TCP) -> Steps:
            newthread(server.stop, LIMIT_S)
            yield from conn.sendall(b"stopping")

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0], b"")) == b"stopping"
        assert (yield from server.wait()) == 0

    run(main)
