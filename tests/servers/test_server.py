"""Servers: where they listen, what happens to connections and their threads, and how they stop."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import (
    TCP,
    Server,
    run,
    serve,
    sleep,
    tcp,
    threadset,
    timeout,
    unix,
)
from socket2.servers import listeners

from ..interop.peers import LIMIT_S
from ..machine import needs_ipv6

Steps = Generator[Any, Any, Any]


def echo(conn: TCP) -> Steps:
    while data := (yield from conn.recv(65536)):
        yield from conn.sendall(data)


def ask(address: Any, data: bytes = b"hello", end: bool = True) -> Steps:
    """Connect, send, and return the whole answer."""
    family = "inet6" if len(address) == 4 else "inet"
    with tcp(family) as client:
        yield from client.connect(address)
        yield from client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        return (yield from everything(client))


def everything(conn: TCP) -> Steps:
    found = b""
    while data := (yield from conn.recv(65536)):
        found += data
    return found


def connected(address: Any) -> Steps:
    client = tcp()
    yield from client.connect(address)
    return client


def several(count: int, address: Any) -> Steps:
    with threadset(keep_outcomes=True) as ts:
        for _ in range(count):
            ts.newthread(connected, address)
        return (yield from ts.join())


def turns(count: int = 10) -> Steps:
    """Run the loop until all other threads wait."""
    for _ in range(count):
        yield from sleep(0.001)


def until(holds: Callable[[], bool]) -> Steps:
    with timeout(LIMIT_S):
        while not holds():
            yield from sleep(0.001)


def refused(address: Any) -> Steps:
    with tcp() as client, pytest.raises(ConnectionRefusedError):
        yield from client.connect(address)


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reported: list[str] = []
    monkeypatch.setattr(
        "socket2.thread.crashhook", lambda thread, error: reported.append(f"{thread.name.split()[0]}: {error!r}")
    )
    return reported


needs_descriptors = pytest.mark.skipif(os.name == "nt", reason="a socket is not a descriptor of the C library here")


# Where it listens.


@needs_ipv6
@pytest.mark.parametrize("host", [None, "", "*", "localhost", False])
def test_both_families_have_one_port(host: Any) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen(host)
        (host_4, port), (host_6, port_6) = ((address[0], address[1]) for address in server.addresses)
        assert port == port_6 != 0
        assert (host_4, host_6) == (("0.0.0.0", "::") if host in (None, "", "*") else ("127.0.0.1", "::1"))
        for address in (("127.0.0.1", port), ("::1", port, 0, 0)):
            assert (yield from ask(address)) == b"hello"
        assert (yield from server.stop()) == 0

    run(main)


def test_a_machine_without_ipv6_serves_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tcp

    def no_ipv6(family: str) -> TCP:
        if family == "inet6":
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family)

    monkeypatch.setattr(listeners, "tcp", no_ipv6)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("localhost")
        assert [address[0] for address in server.addresses] == ["127.0.0.1"]
        yield from server.stop()
        with pytest.raises(OSError, match="family not supported"):
            yield from Server(echo).listen("::1")

    run(main)


@needs_ipv6
def test_another_port_is_tried_when_one_is_free_in_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real, taken = listeners._bind_to, list[int]()

    def takes_the_port(address: Any, *how: Any) -> TCP:
        if address.family == "inet6" and len(taken) < 3:
            taken.append(address.port)
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(address, *how)

    monkeypatch.setattr(listeners, "_bind_to", takes_the_port)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("localhost")
        assert len(taken) == 3
        assert len(server.addresses) == 2
        yield from server.stop()

    run(main)


def test_many_listeners_of_many_kinds(tmp_path: Any) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        yield from server.listen("127.0.0.1")
        listener = unix()
        listener.listen(str(tmp_path / "socket"))
        server.add(listener)
        assert len(server.addresses) == 3
        for address in server.addresses[:2]:
            assert (yield from ask(address)) == b"hello"
        with unix() as client:
            yield from client.connect(str(tmp_path / "socket"))
            yield from client.sendall(b"hello")
            assert (yield from client.recv(100)) == b"hello"
        yield from server.stop(0)
        assert listener.closed
        with pytest.raises(RuntimeError, match="stopped"):
            yield from server.listen("127.0.0.1")

    run(main)


def test_an_address_that_cannot_be_had() -> None:
    def main() -> Steps:
        with tcp() as taken:
            taken.listen("127.0.0.1")
            with pytest.raises(OSError, match="in use"):
                yield from Server(echo).listen(*taken.getsockname())
            with pytest.raises(OSError, match="in use"):
                yield from serve(echo, *taken.getsockname())
        with pytest.raises(OSError, match="assign"):
            yield from Server(echo).listen("192.0.2.1")

    run(main)


def test_a_stopped_server_leaves_no_listener_behind() -> None:
    """Each address of the name has a listener. A ResourceWarning would reveal the second one."""

    def main() -> Steps:
        server = Server(echo)
        yield from server.stop()
        with pytest.raises(RuntimeError, match="stopped"):
            yield from server.listen("localhost", 0)

    run(main)


def test_reuse_port_lets_two_servers_share_one() -> None:
    def main() -> Steps:
        one, other = Server(echo), Server(echo)
        yield from one.listen("127.0.0.1", reuse_port=True)
        yield from other.listen(*one.addresses[0], reuse_port=True)
        assert one.addresses == other.addresses
        with pytest.raises(OSError, match="in use"):
            yield from Server(echo).listen(*one.addresses[0])
        yield from one.stop()
        assert (yield from ask(other.addresses[0])) == b"hello"
        yield from other.stop()

    run(main)


# serve() and signals.


@contextmanager
def handlers_are_put_back(*signals: signal.Signals) -> Iterator[None]:
    before = [signal.getsignal(signum) for signum in signals]
    yield
    assert [signal.getsignal(signum) for signum in signals] == before
