"""A server does not count a listener that it could not start, nor a connection whose end was interrupted."""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from socket2 import TCP, Server, connect, poll, run, serve, sleep, timeout
from socket2.servers import server as server_module
from socket2.servers.connection import Connection

from ..interop.peers import LIMIT_S
from .test_server import connected, refused, until

Steps = Generator[Any, Any, Any]


class Raised(BaseException):
    """The error of the signal handler."""


def test_a_listener_whose_thread_cannot_be_started_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(conn: TCP) -> Steps:
        yield from conn.sendall(b"here")

    def no_thread(steps: Steps, name: str) -> None:
        steps.close()
        raise MemoryError

    def main() -> Steps:
        server = Server(answer)
        std = socket.create_server(("127.0.0.1", 0))
        address = std.getsockname()
        with monkeypatch.context() as patched:
            patched.setattr(server_module, "newthread", no_thread)
            with pytest.raises(MemoryError):
                server.add(std)
        assert server.addresses == []
        yield from refused(address)
        server.add(socket.create_server(("127.0.0.1", 0)))  # it still serves
        with (yield from connected(server.addresses[0])) as client:
            assert (yield from client.recv(10)) == b"here"
        with timeout(LIMIT_S):
            assert (yield from server.stop(1)) == 0

    run(main)


@pytest.mark.parametrize("where", ["close", "_is_the_clients", "_tell"])
def test_a_connection_whose_end_is_interrupted_is_counted_out(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conns: list[TCP] = []
    server = Server(lambda conn: fail(conn))

    def fail(conn: TCP) -> Steps:
        conns.append(conn)
        yield from conn.recv(10)
        patched.setattr(TCP if where == "close" else Connection, where, raise_it)
        raise ValueError

    def raise_it(self: Any, *args: Any) -> Any:
        patched.undo()
        if where == "close":
            self.close()
        raise Raised

    def begin() -> Steps:
        yield from server.listen("127.0.0.1", 0)
        client = yield from connected(server.addresses[0])
        yield from client.sendall(b"x")
        return client

    def end() -> Steps:
        yield from until(lambda: bool(conns) and not server.connections)
        assert conns[0].closed
        with timeout(LIMIT_S):
            assert (yield from server.stop(0)) == 0

    with monkeypatch.context() as patched, suppress(Raised):
        client = run(begin)
        while not conns or server.connections:
            poll(LIMIT_S)
    with client:
        run(end)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_the_log_names_a_client_that_has_no_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def leaves(conn: TCP) -> Steps:
        yield from sleep(0)
        raise ConnectionResetError(104, "it has left")

    def takes_none() -> None: ...

    def main(handler: Any, name: str) -> Steps:
        server = Server(handler)
        yield from server.listen(tmp_path / name)
        with (yield from connect(tmp_path / name)) as client:
            assert (yield from client.recv(1)) == b""
        with timeout(LIMIT_S):
            yield from server.stop(1)

    with caplog.at_level("INFO", "socket2.server"):
        run(main, leaves, "one")
        run(main, takes_none, "two")
    name = leaves.__qualname__
    assert [record.getMessage() for record in caplog.records] == [
        f"{name} unix client: [Errno 104] it has left",
        f"cannot start {takes_none.__qualname__} for a connection",
    ]
    assert {getattr(record, "peer", None) for record in caplog.records} == {"unix client"}


@pytest.mark.parametrize("listeners", [[], ()])
def test_no_address_at_all_is_refused(listeners: Sequence[TCP]) -> None:
    """serve() does not listen on a random port of all interfaces by mistake."""
    with pytest.raises(ValueError, match="needs a host, a port"):
        serve(print, listeners=listeners)
    serve(print, port=0, listeners=listeners).close()
