"""socket2 and the standard library's blocking sockets, each as server and client of the other."""

from __future__ import annotations

import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Generator
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
