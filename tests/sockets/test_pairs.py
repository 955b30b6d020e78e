"""Connected pairs, and duplicates of sockets: socketpair() and dup()."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import pollers.pairs
import socket2
from socket2 import TCP, UDP, Busy, Cancelled, Closed, newthread, socketpair, tcp, timeout, udp

from ..interop.peers import run
from ..machine import has_ipv6

pytestmark = pytest.mark.usefixtures("poller")

FAMILIES = [
    family
    for family in ("unix", "inet", "inet6")
    if (family != "unix" or hasattr(socket, "AF_UNIX")) and (family != "inet6" or has_ipv6())
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_of_streams(family: Any) -> None:
    async def main() -> None:
        ours, theirs = socketpair(family=family)
        with ours, theirs:
            assert isinstance(ours, TCP)
            assert ours.family == theirs.family == family
            waiting = newthread(theirs.recv(100))
            await ours.sendall(b"to you")
            assert await waiting.join() == b"to you"
            await theirs.sendall(b"and back")
            assert await ours.recv(100) == b"and back"
            ours.close()
            assert await theirs.recv(100) == b""

    run(main)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_for_datagrams(family: Any) -> None:
    async def main() -> None:
        ours, theirs = socketpair("dgram", family=family)
        with ours, theirs:
            assert isinstance(ours, UDP)
            waiting = newthread(theirs.recv(100))
            await ours.send(b"to you")
            assert await waiting.join() == b"to you"
            await theirs.send(b"")
            assert await ours.recv(100) == b""

    run(main)


def test_what_there_is_no_pair_of() -> None:
    with pytest.raises(ValueError, match="unknown type 'raw'"):
        socketpair("raw")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="unknown family 'ipx'"):
        socketpair(family="ipx")  # type: ignore[call-overload]


def test_nobody_else_gets_into_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger may connect to the listener, or send to the datagram socket, in the middle of it."""
    strangers = []

    class Listener(socket.socket):
        def listen(self, backlog: int = 1) -> None:
            super().listen(5)
            strangers.append(socket.create_connection(self.getsockname()))

        def connect(self, address: Any) -> None:
            if self.type == socket.SOCK_DGRAM:
                strangers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                strangers[-1].sendto(b"strange", self.getsockname())
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Listener)
    one, other = pollers.pairs.socketpair(socket.AF_INET, socket.SOCK_STREAM, 0)
    here, there = pollers.pairs.socketpair(socket.AF_INET, socket.SOCK_DGRAM, 0)
    monkeypatch.undo()
    assert len(strangers) == 3
    for sock in (one, other, here, there):
        sock.settimeout(10)
    for sender, receiver in ((one, other), (other, one), (here, there), (there, here)):
        sender.send(b"ours")
        assert receiver.recv(100) == b"ours"
    for sock in (one, other, here, there, *strangers):
        sock.close()


# Duplicates.


def test_a_duplicate_has_directions_of_its_own() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, ours.dup() as again:
            assert isinstance(again, TCP)
            assert again.fileno() != ours.fileno()
            assert not again.std.get_inheritable()
            first, second = newthread(ours.recv(1)), newthread(again.recv(1))
            with pytest.raises(Busy):
                await again.recv(1)
            await theirs.sendall(b"xy")
            assert {await first.join(), await second.join()} == {b"x", b"y"}
            await again.sendall(b"by the other one")
            assert await theirs.recv(100) == b"by the other one"

    run(main)


@pytest.mark.parametrize("closed", ["first", "second"])
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_closing_one_leaves_the_other_working(closed: str, used: bool) -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        if used:
            await ours.sendall(b"x")
            assert await theirs.recv(1) == b"x"
        with theirs:
            again = ours.dup()
            gone, stays = (ours, again) if closed == "first" else (again, ours)
            lost, waiting = newthread(gone.recv(10)), newthread(stays.recv(10))
            gone.close()
            with pytest.raises(Closed):
                await lost.join()
            assert not waiting.done
            await theirs.sendall(b"data")
            assert await waiting.join() == b"data"
            with pytest.raises(TimeoutError), timeout(0.01):
                await stays.recv(10)
            await stays.sendall(b"alive")
            assert await theirs.recv(10) == b"alive"
            later = newthread(theirs.recv(10))
            stays.close()
            assert await later.join() == b""  # only now is the connection over

    run(main)


def test_a_cancelled_wait_of_one_is_not_that_of_the_other() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, ours.dup() as again:
            first, second = newthread(ours.recv(10)), newthread(again.recv(10))
            first.cancel()
            with pytest.raises(Cancelled):
                await first.join()
            await theirs.sendall(b"data")
            assert await second.join() == b"data"

    run(main)


def test_a_duplicate_of_a_listener_and_of_a_datagram_socket() -> None:
    async def main() -> None:
        with tcp() as listener, tcp() as client:
            listener.listen(False)
            with listener.dup() as again:
                listener.close()
                accepting = newthread(again.accept)
                await client.connect(again.getsockname())
                (await accepting.join()).close()
        with udp() as one, udp() as sender:
            one.bind("127.0.0.1", 0)
            with one.dup() as other:
                assert isinstance(other, UDP)
                one.close()
                await sender.sendto(b"datagram", other.getsockname())
                assert await other.recv(100) == b"datagram"

    run(main)


def test_a_duplicate_has_the_options_and_the_timeouts() -> None:
    async def main() -> None:
        with tcp() as sock:
            sock.settimeout(0.01, "read")
            sock.setopt("linger", 3)
            with sock.dup() as again:
                assert (again.gettimeout("read"), again.gettimeout("write")) == (0.01, None)
                sock.settimeout(5)
                assert again.gettimeout("read") == 0.01
                again.setopt("keepalive", True)
                assert sock.getopt("keepalive") is True
        with pytest.raises(Closed):
            sock.dup()
        ours, theirs = socketpair()
        with ours, theirs:
            ours.settimeout(0.01)
            with ours.dup() as again:
                with pytest.raises(TimeoutError):
                    await again.recv(1)

    run(main)


def test_a_duplicate_that_is_forgotten_is_reported_and_closed() -> None:
    ours, theirs = socketpair()
    with ours, theirs:
        with pytest.warns(ResourceWarning, match="test_pairs.py"):
            ours.dup()
    assert socket2.TCP.dup is socket2.UDP.dup


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_the_text_of_sockets_without_a_name() -> None:
    async def main() -> None:
        ours, theirs = socketpair(family="unix")
        with ours, theirs:
            assert repr(ours) == f"<TCP fd {ours.fileno()}, unix>"
        with tcp() as sock:
            assert repr(sock) == f"<TCP fd {sock.fileno()}, inet 0.0.0.0>"

    run(main)
