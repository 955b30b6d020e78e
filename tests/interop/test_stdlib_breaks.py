"""socket2 and the standard library's blocking sockets: connections that break, waiting, and many connections."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path
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
    take_all,
    take_exactly,
)
from .test_stdlib import BIG, LINGER_0, UNIX, Meeting, Peer, host_port, reset, send_all

meeting = test_stdlib.meeting
peer = test_stdlib.peer
tcp_meeting = test_stdlib.tcp_meeting


T = TypeVar("T")


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
