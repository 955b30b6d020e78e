"""Datagrams: UDP, UNIX datagram sockets, raw sockets."""

from __future__ import annotations

import array
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import socket2
from socket2 import UDP, addr, newthread, udp
from socket2.threads import osthreads

from ..interop.peers import LIMIT_S, refusing_port, run
from ..machine import needs_ipv6

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
needs_abstract = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract addresses are Linux's")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a raw socket needs root")


@pytest.fixture
def a() -> Iterator[UDP]:
    with udp() as sock:
        sock.bind("127.0.0.1")
        yield sock


@pytest.fixture
def b() -> Iterator[UDP]:
    with udp() as sock:
        sock.bind("127.0.0.1")
        yield sock


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """Make the host "peer.test", which is this machine. The value lists the OS threads that have looked it up."""
    really = socket.getaddrinfo
    os_threads: list[threading.Thread] = []

    def getaddrinfo(host: Any, port: Any, family: int, kind: int, protocol: int, flags: int) -> Any:
        if host == "peer.test" and not flags & socket.AI_NUMERICHOST:
            os_threads.append(threading.current_thread())
            host = "127.0.0.1"
        return really(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield os_threads
    monkeypatch.setattr(osthreads, "IDLE_S", 0)
    osthreads.lookups.end()
    for os_thread in threading.enumerate():
        if os_thread.name == "socket2 lookup":
            os_thread.join(LIMIT_S)


def refusing() -> int:
    """Return a port that refuses for the rest of the test."""
    return refusing_port(kind=socket.SOCK_DGRAM)


async def receive(sock: UDP, n: int = 100) -> bytes:
    return await sock.recv(n)


# To and fro.


def test_a_datagram_arrives_with_its_senders_address(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(b"hello", *b.getsockname()) == 5
        assert await b.recvfrom(100) == (b"hello", a.getsockname())

    run(main)


def test_the_operations_can_be_yielded_from(a: UDP, b: UDP) -> None:
    def main() -> Generator[Any, None, tuple[bytes, Any]]:
        yield from a.connect(*b.getsockname())
        yield from a.send(b"hello")
        return (yield from b.recvfrom(100))

    assert socket2.run(main) == (b"hello", a.getsockname())


def test_a_receiver_that_waits_gets_what_comes(a: UDP, b: UDP) -> None:
    async def main() -> bytes:
        receiver = newthread(receive, b)
        assert not receiver.done
        await a.sendto(b"hello", *b.getsockname())
        data: bytes = await receiver.join()
        return data

    assert run(main) == b"hello"


@pytest.mark.parametrize("data", [bytearray(b"hello"), memoryview(b"_hello_")[1:-1], array.array("B", b"hello")])
def test_any_buffer_can_be_sent(a: UDP, b: UDP, data: Any) -> None:
    async def main() -> None:
        assert await a.sendto(data, *b.getsockname()) == 5
        await a.connect(*b.getsockname())
        assert await a.send(data) == 5
        assert [await b.recv(100), await b.recv(100)] == [b"hello", b"hello"]

    run(main)


def test_a_buffer_is_counted_in_bytes(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(array.array("I", [1, 2, 3]), *b.getsockname()) == 12
        into = array.array("I", [0, 0, 0, 9])
        assert await b.recv_into(into) == 12
        assert list(into) == [1, 2, 3, 9]

    run(main)


def test_a_datagram_goes_into_a_buffer(a: UDP, b: UDP) -> None:
    async def main() -> None:
        for _ in range(4):
            await a.sendto(b"hello", *b.getsockname())
        buffer = bytearray(b"........")
        assert await b.recv_into(buffer) == 5
        assert buffer == b"hello..."
        buffer = bytearray(b"........")
        assert await b.recv_into(buffer, 3) == 3
        assert buffer == b"hel....."
        buffer = bytearray(b"........")
        assert await b.recvfrom_into(buffer) == (5, a.getsockname())
        assert buffer == b"hello..."
        buffer = bytearray(b"........")
        assert await b.recvfrom_into(memoryview(buffer)[1:], 3) == (3, a.getsockname())
        assert buffer == b".hel...."

    run(main)


def test_a_connected_socket_sends_to_its_peer_and_receives_from_nobody_else(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.connect(*b.getsockname())
        assert a.getpeername() == b.getsockname()
        assert await a.send(b"hello") == 5
        assert await b.recvfrom(100) == (b"hello", a.getsockname())
        with udp() as stranger:
            await stranger.sendto(b"from a stranger", *a.getsockname())
            await b.sendto(b"from the peer", *a.getsockname())
            assert await a.recv(100) == b"from the peer"

    run(main)


def test_a_socket_can_be_connected_again(a: UDP, b: UDP) -> None:
    async def main() -> None:
        with udp() as first:
            first.bind("127.0.0.1")
            await a.connect(*first.getsockname())
        await a.connect(*b.getsockname())
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)


def test_an_unconnected_socket_has_no_peer_to_send_to(a: UDP) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r".") as caught:
            await a.send(b"hello")
        assert caught.value.errno == errno.EDESTADDRREQ

    run(main)


def test_a_socket_that_was_never_bound_gets_its_answers(b: UDP) -> None:
    async def main() -> None:
        with udp() as client:
            await client.sendto(b"ping", *b.getsockname())
            _, address = await b.recvfrom(100)
            await b.sendto(b"pong", "127.0.0.1", address[1])
            assert await client.recv(100) == b"pong"

    run(main)


@needs_ipv6
def test_inet6() -> None:
    async def main() -> None:
        with udp("inet6") as a, udp("inet6") as b:
            a.bind("::1")
            b.bind("::1")
            await a.sendto(b"hello", *b.getsockname()[:2])
            data, address = await b.recvfrom(100)
            assert (data, address) == (b"hello", a.getsockname())
            await b.sendto(b"back", address)  # all four parts of the address
            assert await a.recv(100) == b"back"

    run(main)


# Empty and long ones.


def test_empty_datagrams_come_and_go(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(b"", *b.getsockname()) == 0
        assert await b.recvfrom(100) == (b"", a.getsockname())
        await a.connect(*b.getsockname())
        await b.connect(*a.getsockname())
        assert await a.send(b"") == 0
        assert await a.send(b"after") == 5
        assert [await b.recv(100), await b.recv(100)] == [b"", b"after"]
        assert await b.send(b"") == 0
        assert await a.recv_into(bytearray(8)) == 0
        assert await b.send(b"back") == 4
        assert await a.recv(100) == b"back"

    run(main)


def test_a_receiver_that_waits_is_woken_by_an_empty_datagram(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receiver = newthread(receive, b)
        await a.sendto(b"", *b.getsockname())
        assert await receiver.join() == b""

    run(main)


def test_a_datagram_is_cut_and_the_next_one_is_whole(a: UDP, b: UDP) -> None:
    async def main() -> None:
        for data in (b"0123456789", b"abcdefghij", b"next"):
            await a.sendto(data, *b.getsockname())
        assert await b.recv(4) == b"0123"
        assert await b.recvfrom(1) == (b"a", a.getsockname())
        assert await b.recv(100) == b"next"

    run(main)


def test_the_longest_datagram_arrives_whole(a: UDP, b: UDP) -> None:
    data = os.urandom(65507)  # the most that fits into IPv4

    async def main() -> None:
        assert await a.sendto(data, *b.getsockname()) == len(data)
        assert await b.recv(len(data) + 1) == data

    run(main)


def test_a_datagram_that_is_too_long_is_refused_and_the_socket_is_well(a: UDP, b: UDP) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r".") as caught:
            await a.sendto(bytes(70_000), *b.getsockname())
        assert caught.value.errno == errno.EMSGSIZE
        await a.sendto(b"short", *b.getsockname())
        assert await b.recv(100) == b"short"

    run(main)


# Destinations.


@pytest.mark.parametrize("send", [UDP.send, UDP.sendto])
def test_a_destination_is_anything_that_addr_takes(a: UDP, b: UDP, send: Callable[..., Any]) -> None:
    async def main() -> None:
        host, port = b.getsockname()
        found = await addr(host, port, "udp")
        destinations: list[tuple[Any, ...]] = [
            ("localhost", port),
            (b"localhost", port),
            (host, port),
            (host, str(port)),
            (False, port),
            (found,),
            (found[0],),
            (b.getsockname(),),
            (("localhost", port),),
        ]
        for destination in destinations:
            assert await send(a, b"hello", *destination) == 5
            assert await b.recv(100) == b"hello"

    run(main)


@pytest.mark.parametrize("how", [lambda port: ("peer.test", port), lambda port: (("peer.test", port),)])
def test_a_name_is_looked_up_in_an_os_thread(
    a: UDP, b: UDP, named: list[threading.Thread], how: Callable[[int], Any]
) -> None:
    async def main() -> None:
        assert await a.sendto(b"hello", *how(b.getsockname()[1])) == 5
        assert await b.recv(100) == b"hello"

    run(main)
    assert len(named) == 1
    assert named[0] is not threading.main_thread()


def test_a_socket_can_be_connected_to_a_name(a: UDP, b: UDP, named: list[threading.Thread]) -> None:
    async def main() -> None:
        await a.connect("peer.test", b.getsockname()[1])
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)
    assert named[0] is not threading.main_thread()


@pytest.mark.parametrize("destination", [("nosuchhost.invalid", 9), (("nosuchhost.invalid", 9),)])
def test_a_name_that_does_not_exist_fails_that_datagram_only(a: UDP, b: UDP, destination: Any) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await a.sendto(b"lost", *destination)
        await a.sendto(b"hello", *b.getsockname())
        assert await b.recv(100) == b"hello"

    run(main)


@pytest.mark.parametrize("to", ["<broadcast>", "255.255.255.255"])
def test_broadcasting_has_to_be_asked_for(a: UDP, to: str) -> None:
    """The address can be '<broadcast>', as in the standard library, or numeric."""

    async def main() -> None:
        with pytest.raises(PermissionError):
            await a.sendto(b"all", (to, 9))

    run(main)
