"""Servers: connections, their threads, and how many there may be."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Server,
    run,
    sleep,
    tcp,
    threadset,
)

from . import test_server
from .test_server import ask, connected, echo, everything, turns, until

crashes = test_server.crashes


Steps = Generator[Any, Any, Any]


# Connections and their threads.


async def echo_async(conn: TCP) -> None:
    while data := await conn.recv(65536):
        await conn.sendall(data)


def say_something(conn: TCP) -> None:
    conn.std.send(b"hello")  # a plain function cannot wait


@pytest.mark.parametrize("handler", [echo, echo_async, say_something, lambda conn: echo(conn)])
def test_a_handler_is_whatever_can_be_a_thread(handler: Any) -> None:
    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        for _ in range(3):
            data = b"" if handler is say_something else b"hello"
            assert (yield from ask(server.addresses[0], data)) == b"hello"
        yield from until(lambda: server.connections == 0)
        yield from server.stop()

    run(main)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_crash_is_logged_and_closes_its_socket_only(
    at_once: bool, crashes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: TCP) -> Steps:
        if not at_once:
            yield from conn.recv(1)
        raise ValueError("of a handler")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        for _ in range(3):
            assert (yield from ask(server.addresses[0], b"" if at_once else b"x")) == b""
        assert server.connections == 0
        assert (yield from server.stop()) == 0

    run(main)
    assert not crashes
    assert [(record.levelname, record.name) for record in caplog.records] == [("ERROR", "socket2.server")] * 3
    assert caplog.text.count("Traceback") == caplog.text.count("ValueError: of a handler") == 3


@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_that_has_gone_is_no_crash(
    at_once: bool, crashes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: TCP) -> Steps:
        if not at_once:
            yield from sleep(0)
        raise ConnectionResetError(errno.ECONNRESET, "gone")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0], b"")) == b""
        yield from server.stop()

    with caplog.at_level(logging.INFO, logger="socket2"):
        run(main)
    assert not crashes
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_handler_that_cannot_be_called_does_not_end_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def handler(conn: TCP, more: int) -> None: ...

    def main() -> Steps:
        server = Server(handler)  # type: ignore[arg-type]
        yield from server.listen("127.0.0.1")
        for _ in range(2):
            assert (yield from ask(server.addresses[0], b"")) == b""
        assert server.connections == 0
        yield from server.stop()

    run(main)
    assert len(caplog.records) == 2
    with pytest.raises(TypeError, match="handler must be a function"):
        Server(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("listeners_count", [1, 2])
def test_no_more_connections_than_the_limit(listeners_count: int) -> None:
    most = now = 0

    def handler(conn: TCP) -> Steps:
        nonlocal most, now
        now += 1
        most = max(most, now)
        data = yield from conn.recv(100)
        yield from conn.sendall(data)
        now -= 1

    def main() -> Steps:
        server = Server(handler, max_connections=2)
        for _ in range(listeners_count):
            yield from server.listen("127.0.0.1")
        clients = []
        for at in range(8):
            client = yield from connected(server.addresses[at % listeners_count])
            clients.append(client)
        yield from turns()
        assert server.connections == 2
        with threadset(keep_outcomes=True) as ts:
            for client in clients:
                yield from client.sendall(b"x")
            for client in clients:
                ts.newthread(everything, client)
            assert (yield from ts.join()) == [b"x"] * 8
        for client in clients:
            client.close()
        assert (yield from server.stop()) == 0
        assert most == 2

    run(main)
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        Server(echo, max_connections=0)


def test_no_descriptor_left_neither_spins_nor_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from until(lambda: server.connections == 0)
        poller = socket2.threads.scheduler.current_scheduler().poller
        with tcp() as client:
            spare = os.dup(0)
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            try:
                yield from client.connect(server.addresses[0])
                polls = poller.stats().polls
                yield from sleep(0.25)
                assert poller.stats().polls - polls < 50
                assert server.connections == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            yield from client.sendall(b"hello")
            assert (yield from client.recv(100)) == b"hello"
        yield from server.stop()

    run(main)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_listener_that_breaks_ends_the_server_when_it_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        accepting = next(iter(server._accepting.values()))
        assert accepting is not None
        broken = OSError(errno.ENOTSOCK, "broken")
        accepting.scheduler.interrupt(accepting, broken)
        yield from turns()
        yield from client.sendall(b"still served")
        assert (yield from client.recv(100)) == b"still served"
        client.close()
        with pytest.raises(OSError, match="broken"):
            yield from server.wait()

    run(main)
