"""socket2 and the standard library's blocking sockets: descriptors that move between the two, and datagrams."""

from __future__ import annotations

import os
import socket
from typing import Any, TypeVar

import pytest

import socket2

from . import test_stdlib
from .peers import (
    LIMIT_S,
    beside,
    echo_all,
    pattern,
    receive_all,
    receive_exactly,
    run,
    take_exactly,
)
from .test_stdlib import NON_ASCII, Meeting, Peer, host_port, send_all

meeting = test_stdlib.meeting
peer = test_stdlib.peer


T = TypeVar("T")


# Descriptors that move between the two sides.


def test_we_take_over_a_blocking_listener(peer: Peer) -> None:
    def visit(address: Any) -> None:
        with peer.blocking() as sock:
            sock.connect(address)
            send_all(sock, b"hello")
            assert receive_all(sock) == b"hello"

    async def serve() -> None:
        theirs = peer.blocking()
        theirs.bind(peer.address())
        theirs.listen()
        ours = socket2.tcp(fileno=theirs.detach())
        with beside(visit, ours.local_address), ours:
            await echo_all(await ours.accept())

    run(serve)


def test_both_ends_of_a_socket_pair() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(LIMIT_S)

    async def echo() -> None:
        conn = socket2.unix("stream", fileno=ours.detach())
        assert isinstance(conn, socket2.TCP)
        await echo_all(conn)

    def talk() -> None:
        with theirs:
            send_all(theirs, b"hello")
            assert receive_all(theirs) == b"hello"

    with beside(talk):
        run(echo)


def test_we_hand_a_connection_over_to_a_blocking_socket(meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        sock.sendall(b"one")
        assert receive_exactly(sock, 3) == b"two"
        sock.sendall(b"three")

    async def ours(conn: socket2.TCP) -> bytes:
        assert await take_exactly(conn, 3) == b"one"
        with socket.socket(fileno=conn.detach()) as blocking:
            blocking.settimeout(LIMIT_S)
            blocking.sendall(b"two")
            return receive_all(blocking)

    assert meeting.hold(ours, theirs) == b"three"


# Datagrams.

DATAGRAMS = [b"", b"x", pattern(10, 1472), b"", pattern(11, 65507)]


def blocking_datagrams(peer: Peer, name: str) -> socket.socket:
    """Return a bound socket: a UNIX socket needs an address to get an answer."""
    sock = peer.blocking(socket.SOCK_DGRAM)
    sock.bind(peer.address(name))
    return sock


def our_datagrams(peer: Peer, name: str) -> socket2.UDP:
    sock = peer.udp()
    sock.bind(*host_port(peer.address(name)))
    return sock


def test_datagrams_to_us_and_back(peer: Peer) -> None:
    async def serve() -> None:
        with our_datagrams(peer, "server") as sock, beside(visit, sock.getsockname()):
            for _ in DATAGRAMS:
                data, sender = await sock.recvfrom(65536)
                assert await sock.sendto(data, sender) == len(data)

    def visit(address: Any) -> None:
        with blocking_datagrams(peer, NON_ASCII) as sock:
            for data in DATAGRAMS:
                sock.sendto(data, address)
                assert sock.recvfrom(65536) == (data, address)

    run(serve)


def test_datagrams_from_us_and_back(peer: Peer) -> None:
    def serve(sock: socket.socket) -> None:
        for _ in DATAGRAMS:
            data, sender = sock.recvfrom(65536)
            sock.sendto(data, sender)

    async def visit() -> None:
        theirs = blocking_datagrams(peer, NON_ASCII)
        with theirs, beside(serve, theirs), our_datagrams(peer, "client") as sock:
            await sock.connect(*host_port(theirs.getsockname()))
            buffer = bytearray(65536)
            for data in DATAGRAMS:
                assert await sock.send(data) == len(data)
                assert await sock.recv_into(buffer) == len(data)
                assert buffer[: len(data)] == data

    run(visit)


def test_a_datagram_is_cut_and_the_next_is_not(peer: Peer) -> None:
    async def serve() -> None:
        with our_datagrams(peer, "server") as sock, blocking_datagrams(peer, "client") as theirs:
            for data in (b"0123456789", b"next"):
                theirs.sendto(data, sock.getsockname())
            assert await sock.recv(4) == b"0123"
            assert await sock.recvfrom(100) == (b"next", theirs.getsockname())

    run(serve)


def test_a_datagram_wakes_who_waits_for_it_and_only_one_of_them(peer: Peer) -> None:
    async def receive(sock: socket2.UDP) -> bytes:
        return await sock.recv(100)

    async def serve() -> None:
        with our_datagrams(peer, "server") as sock, blocking_datagrams(peer, "client") as theirs:
            receivers = [socket2.newthread(receive, sock) for _ in range(3)]
            await socket2.sleep(0)
            for at, receiver in enumerate(receivers):
                theirs.sendto(b"%d" % at, sock.getsockname())
                assert await receiver.join() == b"%d" % at
                assert [other.done for other in receivers] == [number <= at for number in range(3)]

    run(serve)


def test_a_datagram_that_is_too_long_is_refused(peer: Peer) -> None:
    async def visit() -> None:
        with our_datagrams(peer, "client") as sock, blocking_datagrams(peer, "server") as theirs:
            with pytest.raises(OSError, match="Message too long"):
                await sock.sendto(bytes(1 << 20), theirs.getsockname())
            await sock.sendto(b"short", theirs.getsockname())
            assert theirs.recv(100) == b"short"

    run(visit)


def test_a_datagram_to_nobody(peer: Peer) -> None:
    """Some operation reports the error, and the socket can still be used."""

    async def visit() -> None:
        with our_datagrams(peer, "client") as sock:
            with blocking_datagrams(peer, "server") as theirs:
                address = theirs.getsockname()
                await sock.connect(*host_port(address))
            with pytest.raises(ConnectionRefusedError):
                await sock.recv(await sock.send(b"anybody there?"))
            if peer.kind == "path":
                os.unlink(address)
            with peer.blocking(socket.SOCK_DGRAM) as theirs:
                theirs.bind(address)
                await sock.connect(*host_port(address))
                theirs.sendto(b"here", sock.getsockname())
                assert await sock.recv(100) == b"here"

    run(visit)
