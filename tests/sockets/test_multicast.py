"""Multicast groups on the loopback interface, by its name, its number and its address."""

from __future__ import annotations

import errno
import os
import socket
import struct
from functools import cache
from typing import Any

import pytest

from socket2 import UDP, Closed, newthread, tcp, timeout, udp

from ..interop.peers import run
from ..machine import has_ipv6

pytestmark = pytest.mark.usefixtures("poller")

GROUPS = {"inet": "239.255.7.7", "inet6": "ff02::7:7"}
HERE = {"inet": "127.0.0.1", "inet6": "::1"}
ANY = {"inet": "0.0.0.0", "inet6": "::"}
QUIET_S = 0.02  # what was not sent to a socket has not arrived by then, and later ones show that it never does


def loopback() -> tuple[int, str]:
    for index, name in socket.if_nameindex():
        if name.startswith(("lo", "Loopback", "loopback")):
            return index, name
    pytest.skip("this machine has no loopback interface that has a name")


@cache
def has_multicast(family: str) -> bool:
    """Return whether this kernel carries multicast packets on its loopback interface."""
    if family == "inet":
        return True
    index, _ = loopback()
    try:
        with (
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("::", 0))
            receiver.settimeout(0.5)
            group = socket.inet_pton(socket.AF_INET6, GROUPS[family]) + struct.pack("@I", index)
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sender.sendto(b"x", (GROUPS[family], receiver.getsockname()[1]))
            return receiver.recv(10) == b"x"
    except OSError:
        return False


@pytest.fixture(params=["inet", "inet6"])
def family(request: pytest.FixtureRequest) -> str:
    if not has_multicast(request.param):
        pytest.skip(f"this kernel has no multicast of {request.param} on its loopback interface")
    return str(request.param)


def ways(family: str) -> list[Any]:
    index, name = loopback()
    return [name, index, *(["127.0.0.1"] if family == "inet" else [])]


def bound(family: str) -> UDP:
    sock = udp(family)
    sock.bind(ANY[family], 0)
    return sock


def test_a_group_is_joined_and_left(family: str) -> None:
    async def main() -> None:
        for way in ways(family):
            with bound(family) as receiver, udp(family) as sender:
                port = receiver.getsockname()[1]
                sender.setopt("multicast_interface", way)
                receiver.join_group(GROUPS[family], way)
                waiting = newthread(receiver.recvfrom(100))
                await sender.sendto(b"to the group", GROUPS[family], port)
                assert (await waiting.join())[0] == b"to the group"
                with pytest.raises(OSError, match=r".") as failure:
                    receiver.join_group(GROUPS[family], way)
                assert failure.value.errno in (errno.EADDRINUSE, errno.EINVAL)
                receiver.leave_group(GROUPS[family], way)
                await sender.sendto(b"to nobody", GROUPS[family], port)
                with pytest.raises(TimeoutError), timeout(QUIET_S):
                    await receiver.recv(100)
                with pytest.raises(OSError, match=r".") as failure:
                    receiver.leave_group(GROUPS[family], way)
                assert failure.value.errno in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENOENT)

    run(main)


def test_several_receivers_on_one_port(family: str) -> None:
    async def main() -> None:
        with udp(family) as one, udp(family) as other, udp(family) as sender:
            for sock in (one, other):
                sock.setopt("reuseaddr", True)
            one.bind(ANY[family], 0)
            other.bind(ANY[family], one.getsockname()[1])
            for sock in (one, other):
                sock.join_group(GROUPS[family], loopback()[1])
            sender.setopt("multicast_interface", loopback()[1])
            waiting = [newthread(sock.recv(100)) for sock in (one, other)]
            await sender.sendto(b"to all", GROUPS[family], one.getsockname()[1])
            assert [await thread.join() for thread in waiting] == [b"to all"] * 2

    run(main)


@pytest.mark.skipif(os.name == "nt", reason="the receiver decides on Windows")
def test_a_sender_can_keep_its_own_machine_out(family: str) -> None:
    async def main() -> None:
        with bound(family) as receiver, udp(family) as sender:
            receiver.join_group(GROUPS[family], loopback()[1])
            sender.setopt("multicast_interface", loopback()[1])
            assert sender.getopt("multicast_loop") is True
            assert sender.getopt("multicast_ttl") == 1
            sender.setopt("multicast_ttl", 3)
            assert sender.getopt("multicast_ttl") == 3
            sender.setopt("multicast_loop", False)
            assert sender.getopt("multicast_loop") is False

    run(main)


@pytest.mark.skipif(not hasattr(socket.socket, "recvmsg"), reason="this system has no recvmsg(2)")
def test_the_group_that_a_datagram_was_sent_to(family: str) -> None:
    async def main() -> None:
        with bound(family) as receiver, udp(family) as sender:
            receiver.setopt("packet_info", True)
            receiver.setopt("recv_ttl", True)
            receiver.join_group(GROUPS[family], loopback()[1])
            sender.setopt("multicast_interface", loopback()[0])
            sender.setopt("multicast_ttl", 5)
            await sender.sendto(b"x", GROUPS[family], receiver.getsockname()[1])
            message = await receiver.recvmsg(100)
            assert message.ttl == 5
            assert message.packet_info is not None
            assert message.packet_info.destination == GROUPS[family]
            assert message.packet_info.interface == loopback()[0]
            await receiver.sendmsg(b"answer", message.address, packet_info=message.packet_info)
            assert await sender.recv(100) == b"answer"

    run(main)


@pytest.mark.skipif(not os.path.exists("/proc/net/igmp"), reason="this is about Linux")
def test_a_group_with_a_source(family: str) -> None:
    async def main() -> None:
        with bound(family) as receiver, udp(family) as sender, udp(family) as stranger:
            port = receiver.getsockname()[1]
            sender.bind(HERE[family], 0)
            for sock in (sender, stranger):
                sock.setopt("multicast_interface", loopback()[1])
            receiver.join_group(GROUPS[family], loopback()[1], source=HERE[family])
            await sender.sendto(b"from the source", GROUPS[family], port)
            assert await receiver.recv(100) == b"from the source"
            receiver.leave_group(GROUPS[family], loopback()[0], source=HERE[family])
            nobody = {"inet": "192.0.2.1", "inet6": "2001:db8::1"}[family]
            receiver.join_group(GROUPS[family], loopback()[1], source=nobody)
            await sender.sendto(b"from another one", GROUPS[family], port)
            with pytest.raises(TimeoutError), timeout(QUIET_S):
                await receiver.recv(100)
            receiver.leave_group(GROUPS[family], loopback()[1], source=nobody)

    run(main)


@pytest.mark.parametrize(
    ("group", "interface", "source", "error"),
    [
        ("192.0.2.1", None, None, ValueError),
        ("::1", None, None, ValueError),
        ("group.example", None, None, ValueError),
        ("", None, None, ValueError),
        ("ff02::7:7", None, None, ValueError),
        ("239.255.7.7", "no such", None, OSError),
        ("239.255.7.7", 1 << 30, None, OSError),
        ("239.255.7.7", True, None, TypeError),
        ("239.255.7.7", b"lo", None, TypeError),
        ("239.255.7.7", None, "::1", ValueError),
        ("239.255.7.7", None, "name", ValueError),
        ("239.255.7.7", "127.0.0.1", "192.0.2.1", ValueError),
    ],
)
def test_mistakes(group: Any, interface: Any, source: Any, error: type[Exception]) -> None:
    with udp() as sock:
        for change in (sock.join_group, sock.leave_group):
            if os.name == "nt" and source is not None:
                continue
            with pytest.raises(error):
                change(group, interface, source)


def test_more_mistakes() -> None:
    with udp() as sock:
        with pytest.raises(OSError, match="no interface 'no such'") as failure:
            sock.join_group("239.255.7.7", "no such")
        assert failure.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="no interface 'no such'"):
            sock.setopt("multicast_interface", "no such")
        with pytest.raises(TypeError, match="multicast_interface takes the name"):
            sock.setopt("multicast_interface", 1.5)
        with pytest.raises(TypeError, match="multicast_ttl takes a whole number"):
            sock.setopt("multicast_ttl", "3")
        assert sock.getopt("multicast_interface") == "0.0.0.0"
    with pytest.raises(Closed):
        sock.join_group("239.255.7.7")
    with tcp() as stream:
        stream.setopt("ttl", 5)
        assert stream.getopt("ttl") == 5


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_interface_of_ipv6() -> None:
    with udp("inet6") as sock:
        sock.setopt("multicast_interface", loopback()[1])
        assert sock.getopt("multicast_interface") == loopback()[0]
        with pytest.raises(ValueError, match="needs the name or the number"):
            sock.setopt("multicast_interface", "127.0.0.1")
        with pytest.raises(ValueError, match="needs the name or the number"):
            sock.join_group("ff02::7:7", "127.0.0.1")
        with pytest.raises(ValueError, match="cannot be used with a socket of family inet6"):
            sock.join_group("239.255.7.7")
