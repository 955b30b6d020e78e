"""Servers on listeners that a service manager has passed on."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Server,
    inherited_listeners,
    newthread,
    run,
    serve,
    tcp,
    threadset,
)
from socket2.servers import passed as passed_sockets

from ..interop.peers import LIMIT_S, ROOT, Program, connect, receive_all
from .test_server import ask, connected, echo, everything, needs_descriptors, several, turns, until

Steps = Generator[Any, Any, Any]


# Listeners from a service manager.


@contextmanager
def passed(
    monkeypatch: pytest.MonkeyPatch, *socks: socket.socket, pid: int | None = None, names: str | None = None
) -> Iterator[None]:
    """Pass sockets as systemd does, but not from descriptor 3 on, which is not free here."""
    start = 200
    for at, sock in enumerate(socks):
        os.dup2(sock.fileno(), start + at)
        sock.close()
    monkeypatch.setattr(passed_sockets, "_START", start)
    monkeypatch.setenv("LISTEN_FDS", str(len(socks)))
    if names is not None:
        monkeypatch.setenv("LISTEN_FDNAMES", names)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
    yield


@needs_descriptors
def test_inherited_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[Any] = []

    def ready(server: Server) -> None:
        assert server.addresses == addresses
        newthread(client, server)

    def client(server: Server) -> Steps:
        for address in addresses:
            assert (yield from ask(address)) == b"hello"
        yield from server.stop()

    one, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    addresses += [one.getsockname(), other.getsockname()]
    with passed(monkeypatch, one, other):
        found = inherited_listeners()
        assert not {"LISTEN_FDS", "LISTEN_PID"} & os.environ.keys()
        assert not any(os.get_inheritable(listener.fileno()) for listener in found)
        assert inherited_listeners() == []
        assert run(lambda: serve(echo, listeners=found, ready=ready)) == 0
    socket2.start()


def test_what_was_passed_to_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert inherited_listeners() == []
    with passed(monkeypatch, pid=1):
        assert inherited_listeners() == []


@needs_descriptors
def test_what_was_passed_and_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    with passed(monkeypatch, socket.create_server(("127.0.0.1", 0)), socket.socket()):
        with pytest.raises(ValueError, match="201.*is not listening"):
            inherited_listeners()
    with passed(monkeypatch, socket.socket(type=socket.SOCK_DGRAM)):
        with pytest.raises(ValueError, match="is not a tcp socket"):
            inherited_listeners()
    os.close(200)  # not ours, so it was not touched


def test_whoever_waits_in_a_shared_listener_is_answered_by_this_server_or_left_to_the_others() -> None:
    """On Windows, the poller has accepted some of them ahead."""

    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0)) as theirs, threadset(keep_outcomes=True) as ts:
            server = Server(echo, max_connections=1)
            server.add(theirs.dup(), shared=True)
            address = theirs.getsockname()
            busy = yield from connected(address)
            yield from until(lambda: server.connections == 1)
            for client in (yield from several(6, address)):
                ts.newthread(request, client)
            yield from turns()
            stopping = newthread(server.stop, LIMIT_S)
            yield from until(server.stopping.is_set)
            busy.close()
            assert (yield from stopping.join()) == 0
            theirs.setblocking(False)
            left = 7 - server.accepted
            for _ in range(left):
                conn, _ = theirs.accept()
                with conn:
                    conn.setblocking(True)
                    conn.sendall(conn.recv(5))
            assert (yield from ts.join()) == [b"hello"] * 6
            assert left == 6 or sys.platform == "win32"

    def request(client: TCP) -> Steps:
        with client:
            yield from client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            return (yield from everything(client))

    run(main)


@needs_descriptors
def test_connections_that_wait_in_a_shared_listener_are_left_to_the_others() -> None:
    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            server = Server(echo, max_connections=1)
            server.add(tcp(fileno=os.dup(theirs.fileno())), shared=True)
            busy = yield from connected(theirs.getsockname())
            yield from until(lambda: server.connections == 1)
            waiting = yield from connected(theirs.getsockname())
            assert (yield from server.stop(0)) == 1
            conn, peer = theirs.accept()
            assert peer == waiting.getsockname()
            for sock in (conn, waiting, busy):
                sock.close()

    run(main)


@needs_descriptors
def test_a_service_manager_passes_a_socket_to_a_real_program() -> None:
    program = """
import os, sys
import socket2
def handler(conn):
    yield from conn.sendall(b"from " + sys.argv[1].encode())
socket2.run(lambda: socket2.serve(handler, listeners=socket2.inherited_listeners()))
"""
    manager = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print("listening on", "%s:%d" % sock.getsockname(), flush=True)
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], "the service"])
"""
    with Program([sys.executable, "-W", "error", "-c", manager, program], env={"PYTHONPATH": str(ROOT)}) as service:
        port = service.port()
        with connect("127.0.0.1", port) as sock:
            assert receive_all(sock) == b"from the service"
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 0
        assert service.stderr() == b""
