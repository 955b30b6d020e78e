"""socket2 and the standard library's blocking sockets, each as server and client of the other."""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

import socket2

from ..machine import has_ipv6
from .peers import (
    LIMIT_S,
    beside,
    echo_all,
    give_all,
    pattern,
    receive_all,
    receive_exactly,
    run,
    take_all,
    take_exactly,
)

T = TypeVar("T")

BIG = 16 << 20
NON_ASCII = "søck€t"
LINGER_0 = struct.pack("ii", 1, 0)

INTERNET = ["inet", "inet6"]
UNIX = ["path", "abstract"]
KINDS = [*INTERNET, *UNIX]
ROLES = ["server", "client"]


class Peer:
    """How to make sockets of one kind on both sides, and their address."""

    def __init__(self, kind: str, directory: Path) -> None:
        if kind == "inet6" and not has_ipv6():
            pytest.skip("this system has no IPv6")
        if kind == "abstract" and sys.platform != "linux":
            pytest.skip("abstract UNIX addresses are Linux's")
        self.kind = kind
        self._families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
        self._directory = directory

    def address(self, name: str = NON_ASCII) -> Any:
        """Return a free address in the form of the standard library."""
        if self.kind in INTERNET:
            return ("127.0.0.1" if self.kind == "inet" else "::1", 0)
        return ("\0" if self.kind == "abstract" else "") + str(self._directory / name)

    def blocking(self, type: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        sock = socket.socket(self._families.get(self.kind, socket.AF_UNIX), type)
        sock.settimeout(LIMIT_S)
        return sock

    def tcp(self) -> socket2.TCP:
        sock = socket2.tcp(self.kind) if self.kind in INTERNET else socket2.unix("stream")
        assert isinstance(sock, socket2.TCP)
        return sock

    def udp(self) -> socket2.UDP:
        sock = socket2.udp(self.kind) if self.kind in INTERNET else socket2.unix("dgram")
        assert isinstance(sock, socket2.UDP)
        return sock


class Meeting(Peer):
    """A stream between socket2 in one role and a blocking socket in an OS thread in the other."""

    def __init__(self, kind: str, role: str, directory: Path) -> None:
        super().__init__(kind, directory)
        self._role = role

    def hold(self, ours: Callable[[socket2.TCP], Awaitable[T]], theirs: Callable[[socket.socket], object]) -> T:
        """Connect the two and let each do its part. Return what `ours` returns."""

        async def serve() -> T:
            listener = self.tcp()
            listener.listen(*host_port(self.address()))
            with beside(visit, listener.local_address), listener, await listener.accept() as conn:
                return await ours(conn)

        def visit(address: Any) -> None:
            with self.blocking() as sock:
                sock.connect(address)
                theirs(sock)

        async def go() -> T:
            with self.blocking() as listener:
                listener.bind(self.address())
                listener.listen()
                with beside(receive, listener), self.tcp() as conn:
                    await conn.connect(*host_port(listener.getsockname()))
                    return await ours(conn)

        def receive(listener: socket.socket) -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(LIMIT_S)
                theirs(sock)

        return run(serve if self._role == "server" else go)


def host_port(address: Any) -> Any:
    """Return an address of the standard library as arguments for socket2."""
    return address[:2] if isinstance(address, tuple) else (address,)


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return Peer(request.param, tmp_path)


@pytest.fixture(params=[(kind, role) for kind in KINDS for role in ROLES], ids="-".join)
def meeting(request: pytest.FixtureRequest, tmp_path: Path) -> Meeting:
    kind, role = request.param
    return Meeting(kind, role, tmp_path)


@pytest.fixture(params=[(kind, role) for kind in INTERNET for role in ROLES], ids="-".join)
def tcp_meeting(request: pytest.FixtureRequest, tmp_path: Path) -> Meeting:
    kind, role = request.param
    return Meeting(kind, role, tmp_path)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    sock.close()


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send, and end the stream in this direction."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


# Streams, whole.


def test_16_mb_both_ways_at_once(meeting: Meeting) -> None:
    up, down = pattern(1, BIG), pattern(2, BIG)
    received: list[bytes] = []

    def write(conn: socket2.TCP) -> Generator[Any, Any, None]:
        yield from conn.sendall(up)
        conn.shutdown(socket.SHUT_WR)

    async def ours(conn: socket2.TCP) -> bytes:
        writer = socket2.newthread(write, conn)
        data = await take_all(conn)
        await writer.join()
        return data

    def theirs(sock: socket.socket) -> None:
        with beside(send_all, sock, down):
            received.append(receive_all(sock))

    assert meeting.hold(ours, theirs) == down
    assert received == [up]


def test_pieces_of_any_size(meeting: Meeting) -> None:
    data = pattern(3, 300_000)

    def theirs(sock: socket.socket) -> None:
        sizes = random.Random(4)
        at = 0
        while at < len(data):
            size = sizes.choice([1, 2, 3, 100, 1000, 5000])
            sock.sendall(data[at : at + size])
            at += size
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b"ok"

    async def ours(conn: socket2.TCP) -> bytes:
        sizes = random.Random(5)
        parts = []
        buffer = bytearray(2000)
        while True:
            size = sizes.choice([1, 7, 1000, 2000, 65536])
            if size > len(buffer):
                part = await conn.recv(size)
            else:
                part = bytes(buffer[: await conn.recv_into(buffer, size)])
            assert len(part) <= size
            if not part:
                break
            parts.append(part)
        await give_all(conn, b"ok")
        return b"".join(parts)

    assert meeting.hold(ours, theirs) == data


def test_a_word_at_a_time(meeting: Meeting) -> None:
    """Each word comes back before the next is sent. The test would hang if a byte waited for another one."""

    def theirs(sock: socket.socket) -> None:
        for at in range(1000):
            word = b"%d" % at
            sock.sendall(word)
            assert receive_exactly(sock, len(word)) == word

    meeting.hold(echo_all, theirs)


def test_files_are_sent_whole(meeting: Meeting, tmp_path: Path) -> None:
    up, down = pattern(6, 3_000_000), pattern(7, 3_000_000)
    (tmp_path / "up").write_bytes(b"skipped" + up)
    (tmp_path / "down").write_bytes(down)
    received: list[bytes] = []

    async def ours(conn: socket2.TCP) -> bytes:
        with open(tmp_path / "up", "rb") as file:
            assert await conn.sendfile(file, 7) == len(up)
        conn.shutdown(socket.SHUT_WR)
        return await take_all(conn)

    def theirs(sock: socket.socket) -> None:
        received.append(receive_all(sock))
        with open(tmp_path / "down", "rb") as file:
            sock.sendfile(file)

    assert meeting.hold(ours, theirs) == down
    assert received == [up]


# The end of a stream.


def test_half_close_by_them(meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        send_all(sock, b"question")
        assert receive_all(sock) == b"answer"

    async def ours(conn: socket2.TCP) -> bytes:
        question = await take_all(conn)
        assert await conn.recv(1) == b"", "the end of a stream stays"
        await conn.sendall(b"answer")
        return question

    assert meeting.hold(ours, theirs) == b"question"


def test_half_close_by_us(meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        assert receive_all(sock) == b"question"
        sock.sendall(b"answer")

    async def ours(conn: socket2.TCP) -> bytes:
        await give_all(conn, b"question")
        return await take_all(conn)

    assert meeting.hold(ours, theirs) == b"answer"


def test_we_close_right_after_sending(meeting: Meeting) -> None:
    data = pattern(8, 1_000_000)
    received: list[bytes] = []

    async def ours(conn: socket2.TCP) -> None:
        await conn.sendall(data)

    meeting.hold(ours, lambda sock: received.append(receive_all(sock)))
    assert received == [data]


@pytest.mark.parametrize("when", ["before we wait", "while we wait"])
def test_data_and_end_at_once(peer: Peer, when: str) -> None:
    """The end can come in one event with the data. It does not always, so the test tries many times."""
    pieces = [pattern(at, random.Random(at).choice([1, 999, 1000, 1001, 5000])) for at in range(300)]

    def visit(address: Any) -> None:
        for piece in pieces:
            with peer.blocking() as sock:
                sock.connect(address)
                if when == "while we wait":
                    assert sock.recv(1) == b"!"
                sock.sendall(piece)

    async def serve() -> None:
        listener = peer.tcp()
        listener.listen(*host_port(peer.address()))
        with beside(visit, listener.local_address), listener:
            for piece in pieces:
                with await listener.accept() as conn:
                    if when == "while we wait":
                        await conn.sendall(b"!")
                    received = bytearray()
                    while part := await conn.recv(1000):
                        received += part
                    assert received == piece

    run(serve)


def test_shutdown_for_reading_ends_a_receive(meeting: Meeting) -> None:
    async def ours(conn: socket2.TCP) -> bytes:
        reader = socket2.newthread(take_all, conn)
        await socket2.sleep(0)
        conn.shutdown(socket.SHUT_RD)
        data: bytes = await reader.join()
        conn.shutdown(socket.SHUT_WR)
        return data

    def theirs(sock: socket.socket) -> None:
        assert receive_all(sock) == b""

    assert meeting.hold(ours, theirs) == b""


def test_urgent_data_neither_hangs_nor_mixes_in(tcp_meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        for at in range(100):
            sock.sendall(b"<%02d" % at)
            sock.send(b"!", socket.MSG_OOB)
            sock.sendall(b"%02d>" % at)
            assert receive_exactly(sock, 6) == b"<%02d%02d>" % (at, at)

    async def ours(conn: socket2.TCP) -> None:
        while word := await take_exactly(conn, 6):
            await conn.sendall(word)

    tcp_meeting.hold(ours, theirs)


# Connections that break.


def test_they_reset_while_we_receive(tcp_meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        assert receive_exactly(sock, 1) == b"!"
        reset(sock)

    async def ours(conn: socket2.TCP) -> None:
        await conn.sendall(b"!")
        with pytest.raises(ConnectionResetError):
            await conn.recv(1)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await conn.sendall(b"?")

    tcp_meeting.hold(ours, theirs)


def test_they_reset_while_we_send(tcp_meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        receive_exactly(sock, 1_000_000)
        reset(sock)

    async def ours(conn: socket2.TCP) -> int:
        with pytest.raises((BrokenPipeError, ConnectionResetError)) as caught:
            await conn.sendall(bytes(4 * BIG))
        sent: int = caught.value.bytes_sent  # type: ignore[attr-defined]
        return sent

    assert 1_000_000 <= tcp_meeting.hold(ours, theirs) < 4 * BIG


def test_they_close_with_our_data_unread(meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        assert receive_exactly(sock, 1) == b"1"

    async def ours(conn: socket2.TCP) -> None:
        await conn.sendall(b"12345")
        with pytest.raises(ConnectionResetError):
            await conn.recv(1)

    meeting.hold(ours, theirs)


def test_they_close_while_we_send(meeting: Meeting) -> None:
    async def ours(conn: socket2.TCP) -> None:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await conn.sendall(bytes(4 * BIG))

    meeting.hold(ours, lambda sock: receive_exactly(sock, 1_000_000))


def test_we_reset(tcp_meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        sock.sendall(b"!")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)

    async def ours(conn: socket2.TCP) -> None:
        assert await conn.recv(1) == b"!"  # otherwise it could be reset before it knows that it is connected
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)

    tcp_meeting.hold(ours, theirs)


@pytest.mark.parametrize("kind", ["inet", "path"])
def test_a_listener_outlives_clients_that_leave_before_they_are_accepted(kind: str, tmp_path: Path) -> None:
    peer = Peer(kind, tmp_path)

    async def serve() -> None:
        with peer.tcp() as listener, ExitStack() as clients:
            listener.listen(*host_port(peer.address()))
            for at in range(100):
                sock = clients.enter_context(peer.blocking())
                sock.connect(listener.local_address)
                if at % 2:
                    reset(sock)
                else:
                    sock.sendall(b"%d" % at)
            found: list[int] = []
            while len(found) < 50:
                with await listener.accept() as conn:
                    try:
                        data = await conn.recv(100)
                    except ConnectionResetError:
                        continue
                    if data:
                        found.append(int(data))
            assert found == list(range(0, 100, 2))

    run(serve)


def test_nobody_listens(peer: Peer) -> None:
    async def visit() -> None:
        with peer.blocking() as bound:
            bound.bind(peer.address())
            with peer.tcp() as sock, pytest.raises(ConnectionRefusedError):
                await sock.connect(*host_port(bound.getsockname()))
            bound.listen()
            with peer.tcp() as sock:
                await sock.connect(*host_port(bound.getsockname()))

    run(visit)


def test_no_such_path(tmp_path: Path) -> None:
    async def visit() -> None:
        with socket2.unix() as sock, pytest.raises(FileNotFoundError):
            await sock.connect(str(tmp_path / "nobody"))

    run(visit)


# Waiting.


def test_out_of_time_nothing_is_lost(meeting: Meeting) -> None:
    def theirs(sock: socket.socket) -> None:
        assert receive_exactly(sock, 1) == b"!"
        sock.sendall(b"late")

    async def ours(conn: socket2.TCP) -> bytes:
        conn.settimeout(0.02)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await conn.recv(100)
        conn.settimeout(None)
        await conn.sendall(b"!")
        return await take_exactly(conn, 4)

    assert meeting.hold(ours, theirs) == b"late"


def test_a_send_out_of_time_tells_how_far_it_came(meeting: Meeting) -> None:
    data = pattern(9, BIG)
    go_on = threading.Event()

    def theirs(sock: socket.socket) -> None:
        assert go_on.wait(LIMIT_S)
        assert receive_all(sock) == data

    async def ours(conn: socket2.TCP) -> int:
        conn.settimeout(0.05, "write")
        try:
            with pytest.raises(TimeoutError) as caught:
                await conn.sendall(data)
        finally:
            go_on.set()
        sent: int = caught.value.bytes_sent  # type: ignore[attr-defined]
        conn.settimeout(None)
        await conn.sendall(data[sent:])
        return sent

    assert 0 < meeting.hold(ours, theirs) < BIG


# Many.


def test_500_connections_to_us_one_after_the_other(peer: Peer) -> None:
    """Descriptors are reused: an event for one connection must not reach the next one."""

    def visit(address: Any) -> None:
        for at in range(500):
            with peer.blocking() as sock:
                sock.connect(address)
                sock.sendall(b"%03d" % at)
                assert receive_exactly(sock, 3) == b"%03d" % at

    async def serve() -> None:
        listener = peer.tcp()
        listener.listen(*host_port(peer.address()))
        with beside(visit, listener.local_address), listener:
            for _ in range(500):
                await echo_all(await listener.accept())

    run(serve)


def test_500_connections_by_us_one_after_the_other(peer: Peer) -> None:
    def serve(listener: socket.socket) -> None:
        for _ in range(500):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100))

    async def visit() -> None:
        with peer.blocking() as listener:
            listener.bind(peer.address())
            listener.listen()
            with beside(serve, listener):
                for at in range(500):
                    with peer.tcp() as sock:
                        await sock.connect(*host_port(listener.getsockname()))
                        await sock.sendall(b"%03d" % at)
                        assert await take_all(sock) == b"%03d" % at

    run(visit)


def test_50_clients_at_once(peer: Peer) -> None:
    def visit(address: Any, at: int) -> None:
        data = pattern(at, 200_000)
        with peer.blocking() as sock:
            sock.connect(address)
            with beside(send_all, sock, data):
                assert receive_all(sock) == data

    async def serve() -> None:
        listener = peer.tcp()
        listener.listen(*host_port(peer.address()))
        with ExitStack() as visitors, listener:
            for at in range(50):
                visitors.enter_context(beside(visit, listener.local_address, at))
            echoes = [socket2.newthread(echo_all, await listener.accept()) for _ in range(50)]
            for echo in echoes:
                await echo.join()

    run(serve)


@pytest.mark.parametrize("kind", UNIX)
def test_more_connects_than_a_listener_has_room_for(kind: str, tmp_path: Path) -> None:
    """If the queue of a UNIX listener is full, connect(2) returns EAGAIN, and no event reports when there is room."""
    peer = Peer(kind, tmp_path)

    def serve(listener: socket.socket) -> None:
        for _ in range(30):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(LIMIT_S)
                sock.sendall(receive_exactly(sock, 1))

    async def visit(address: Any) -> bytes:
        with peer.tcp() as sock:
            await sock.connect(*host_port(address))
            await sock.sendall(b"!")
            return await take_all(sock)

    async def visit_30_times() -> None:
        with peer.blocking() as listener:
            listener.bind(peer.address())
            listener.listen(0)
            visitors = [socket2.newthread(visit, listener.getsockname()) for _ in range(30)]
            with beside(serve, listener):
                for visitor in visitors:
                    assert await visitor.join() == b"!"

    run(visit_30_times)


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
