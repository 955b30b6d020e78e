"""The way of a UDP datagram through the network: to one host or to a group, and to which sockets there."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, NamedTuple

from ..control import constant
from . import numeric
from .description import AF_INET, MSG_CTRUNC, fail
from .inet import Inet, text_of
from .link import Link
from .numeric import Endpoint
from .ports import ANY, ANY6, choose, score
from .surroundings import Home

_IP, _IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
HEADER = 28  # bytes
LOOPBACK_INTERFACE, INTERFACE = 1, 2

_PKTINFO, _PKTINFO6 = constant("IP_PKTINFO") or 8, constant("IPV6_PKTINFO") or 50
_RECVPKTINFO6 = constant("IPV6_RECVPKTINFO") or 49
_RECVTTL, _RECVTOS = constant("IP_RECVTTL") or 12, constant("IP_RECVTOS") or 13
_RECVHOPLIMIT, _HOPLIMIT = constant("IPV6_RECVHOPLIMIT") or 51, constant("IPV6_HOPLIMIT") or 52
_RECVTCLASS, _TCLASS = constant("IPV6_RECVTCLASS") or 66, constant("IPV6_TCLASS") or 67
_TTL, _TOS = socket.IP_TTL, socket.IP_TOS

TTL_DEFAULT, GROUP_TTL_DEFAULT = 64, 1


class Datagram(NamedTuple):
    """What is on the way, and how it arrives."""

    data: bytes
    source: Endpoint
    target: Endpoint
    ttl: int
    tos: int
    interface: int


class Receiver(Inet):
    """A socket that datagrams come to."""

    groups: list[tuple[str, int, str | None]]  # group, interface, source

    def arrived(self, one: Datagram) -> None:
        """Keep what has arrived, if there is room."""
        raise NotImplementedError

    def unreachable(self, error: int, target: Endpoint) -> None:
        """An ICMP error has come."""
        raise NotImplementedError


def send(sock: Receiver, data: bytes, target: Endpoint, control: Any) -> None:
    """Send a datagram. Raises OSError (ENETUNREACH, EINVAL)."""
    ip = target[0]
    source = sock.source(ip) if not numeric.is_group(ip) and ip != "255.255.255.255" else _group_source(sock, ip)
    ttl, tos, chosen = _asked_for(sock, ip, control)
    if not sock.has_port:
        sock.take_port(sock.local[0])
    from_ = (chosen or source, sock.local[1])
    if numeric.is_group(ip) or ip == "255.255.255.255":
        _to_group(sock, data, from_, target, ttl, tos)
        return
    host, link = sock.host.way_to(ip)
    _carry(sock, host, link, _made(data, from_, target, ttl, tos, sock.host, link))


def _made(
    data: bytes, source: Endpoint, target: Endpoint, ttl: int, tos: int, host: Home, link: Link | None
) -> Datagram:
    return Datagram(data, source, target, ttl, tos, LOOPBACK_INTERFACE if link is host.loop else INTERFACE)


def _group_source(sock: Receiver, ip: str) -> str:
    if sock.local[0] not in (ANY, ANY6) and not numeric.is_group(sock.local[0]):
        return sock.local[0]
    six = ":" in ip
    chosen = sock.options.get((_IPV6, socket.IPV6_MULTICAST_IF) if six else (_IP, socket.IP_MULTICAST_IF))
    if chosen is not None and not six and len(chosen) >= 8 and any(chosen[4:8]):
        return socket.inet_ntoa(chosen[4:8])
    found = next((mine for mine in sock.host.addresses if (":" in mine) == six), None)
    if found is not None:
        return found
    if chosen is None or not any(chosen):
        fail(errno.ENETUNREACH)
    return "::1" if six else "127.0.0.1"


def _asked_for(sock: Receiver, ip: str, control: Any) -> tuple[int, int, str | None]:
    """Return the TTL, the TOS and the source that the options and the control data ask for."""
    six = ":" in ip
    options = sock.options
    if numeric.is_group(ip):
        key = (_IPV6, socket.IPV6_MULTICAST_HOPS) if six else (_IP, socket.IP_MULTICAST_TTL)
        ttl = options.get(key, GROUP_TTL_DEFAULT)
    else:
        ttl = options.get((_IPV6, socket.IPV6_UNICAST_HOPS) if six else (_IP, _TTL), TTL_DEFAULT)
    tos = options.get((_IPV6, _TCLASS) if six else (_IP, _TOS), 0)
    chosen = None
    for level, kind, data in control:
        if (level, kind) in ((_IP, _TTL), (_IPV6, _HOPLIMIT)):
            ttl = struct.unpack_from("=i", data)[0]
        elif (level, kind) in ((_IP, _TOS), (_IPV6, _TCLASS)):
            tos = struct.unpack_from("=i", data)[0]
        elif (level, kind) == (_IP, _PKTINFO) and len(data) >= 8:
            chosen = socket.inet_ntoa(data[4:8])
        elif (level, kind) == (_IPV6, _PKTINFO) and len(data) >= 16:
            chosen = socket.inet_ntop(socket.AF_INET6, data[:16])
        else:
            fail(errno.EINVAL)
    if chosen in (ANY, ANY6):
        chosen = None
    if chosen is not None and not sock.host.has(chosen):
        fail(errno.EINVAL)
    return (TTL_DEFAULT if ttl < 0 else ttl), tos, chosen


def _carry(sock: Receiver, host: Home | None, link: Link | None, one: Datagram) -> None:
    """Bring a datagram to a host, or lose it."""
    world = sock.world
    if link is None or host is None:
        _trace(sock, one, " to nobody")
        return
    if link.instant and world.faults is None:
        _trace(sock, one, "")
        world.soon(_arrive, sock, host, link, one)
        return
    size = len(one.data) + HEADER
    for _ in range(2 if link.happens(link.duplicate) else 1):
        delay_s = link.delay_s(size, world.monotonic())
        if delay_s is None:
            _trace(sock, one, " lost")
            continue
        if world.faults is not None:
            delay_s += world.faults.delay_s(link, size)
        if link.happens(link.reorder):
            delay_s += world.random.random() * max(4 * link.latency_s, 0.001)
        _trace(sock, one, "")
        if delay_s:
            world.at(world.monotonic() + delay_s, _arrive, sock, host, link, one)
        else:
            world.soon(_arrive, sock, host, link, one)


def _trace(sock: Receiver, one: Datagram, how: str) -> None:
    if sock.world.trace is not None:
        text = f"udp {len(one.data)}{how}"
        sock.world.trace(sock.world.monotonic(), "packet", text_of(one.source), text_of(one.target), text)


def _arrive(sock: Receiver, host: Home, link: Link, one: Datagram) -> None:
    if not link.up or not host.up:
        return
    ip, port = one.target
    found = [
        other
        for other in host.ports.at("udp", port)
        if score(ip, other.local[0], other.is_both) >= 0 and other.remote in (None, one.source)
    ]
    if found:
        connected = [other for other in found if other.remote is not None]
        choose(connected or found, ip, one.source).arrived(one)
    elif ip != "255.255.255.255":
        back = host.way_to(one.source[0])[1]
        delay_s = back.delay_s(HEADER, sock.world.monotonic()) if back is not None else None
        if delay_s:
            sock.world.at(sock.world.monotonic() + delay_s, sock.unreachable, errno.ECONNREFUSED, one.target)
        elif delay_s is not None:
            sock.world.soon(sock.unreachable, errno.ECONNREFUSED, one.target)


# Groups.


def _to_group(sock: Receiver, data: bytes, source: Endpoint, target: Endpoint, ttl: int, tos: int) -> None:
    six = ":" in target[0]
    broadcast = target[0] == "255.255.255.255"
    loops = sock.options.get((_IPV6, socket.IPV6_MULTICAST_LOOP) if six else (_IP, socket.IP_MULTICAST_LOOP), 1)
    local = source[0].startswith("127.") or source[0] == "::1"
    for host in sock.world.hosts:
        if host is sock.host:
            if loops or broadcast:
                one = _made(data, source, target, ttl, tos, host, host.loop if local else None)
                sock.world.soon(_arrive_at_group, host, None, one)
        elif not local and ttl:
            link = sock.world.link(sock.host, host)
            delay_s = link.delay_s(len(data) + HEADER, sock.world.monotonic())
            if delay_s is not None:
                one = _made(data, source, target, ttl, tos, host, link)
                sock.world.at(sock.world.monotonic() + delay_s, _arrive_at_group, host, link, one)


def _arrive_at_group(host: Home, link: Link | None, one: Datagram) -> None:
    if (link is not None and not link.up) or not host.up:
        return
    ip, port = one.target
    broadcast = ip == "255.255.255.255"
    socks = [sock for sock in host.ports.at("udp", port) if sock.remote in (None, one.source)]
    member = any(group[0] == ip for others in host.ports.all("udp") for group in others.groups)
    for sock in socks:
        if sock.local[0] not in (ip, ANY, ANY6) or (sock.local[0] == ANY6 and ":" not in ip and not sock.is_both):
            continue
        if broadcast or _takes(sock, one, member):
            sock.arrived(one)


def _takes(sock: Receiver, one: Datagram, member: bool) -> bool:
    mine = [group for group in sock.groups if group[0] == one.target[0]]
    if not mine:  # IP_MULTICAST_ALL: ip(7)
        return member and ":" not in one.target[0] and bool(sock.options.get((_IP, _MULTICAST_ALL), 1))
    return any(source in (None, one.source[0]) for _, _, source in mine)


_MULTICAST_ALL = 49
_JOIN_SOURCE, _LEAVE_SOURCE = 46, 47


def change_group(sock: Receiver, level: int, option: int, value: Any) -> None:
    """Join or leave a group, if the option does that. Raises OSError (EADDRINUSE, EADDRNOTAVAIL)."""
    if (level, option) in ((_IP, socket.IP_ADD_MEMBERSHIP), (_IP, socket.IP_DROP_MEMBERSHIP)):
        ip = socket.inet_ntoa(value[:4])
        join, source = option == socket.IP_ADD_MEMBERSHIP, None
    elif (level, option) in ((_IPV6, socket.IPV6_JOIN_GROUP), (_IPV6, socket.IPV6_LEAVE_GROUP)):
        ip = socket.inet_ntop(socket.AF_INET6, value[:16])
        join, source = option == socket.IPV6_JOIN_GROUP, None
    elif level in (_IP, _IPV6) and option in (_JOIN_SOURCE, _LEAVE_SOURCE) and isinstance(value, bytes):
        family = socket.AF_INET if level == _IP else socket.AF_INET6
        at, size = (12, 4) if level == _IP else (16, 16)
        ip = socket.inet_ntop(family, value[at : at + size])
        source = socket.inet_ntop(family, value[at + 128 : at + 128 + size])
        join = option == _JOIN_SOURCE
    else:
        return
    if not numeric.is_group(ip):
        fail(errno.EINVAL)
    mine = [group for group in sock.groups if group[0] == ip and group[2] == source]
    if join:
        if mine:
            fail(errno.EADDRINUSE if source is None else errno.EADDRNOTAVAIL)
        sock.groups.append((ip, 0, source))
    else:
        if not mine:
            fail(errno.EADDRNOTAVAIL)
        sock.groups.remove(mine[0])


# Control data.


def control_of(sock: Receiver, one: Datagram) -> list[tuple[int, int, bytes]]:
    """Return the control data that the receiver has asked for."""
    made: list[tuple[int, int, bytes]] = []
    asked = sock.options.get
    if sock.family == AF_INET:
        target = socket.inet_aton(one.target[0])
        if asked((_IP, _PKTINFO)):
            local = target if not numeric.is_group(one.target[0]) else socket.inet_aton(_local(sock.host))
            made.append((_IP, _PKTINFO, struct.pack("=i4s4s", one.interface, local, target)))
        if asked((_IP, _RECVTTL)):
            made.append((_IP, _TTL, struct.pack("=i", one.ttl)))
        if asked((_IP, _RECVTOS)):
            made.append((_IP, _TOS, struct.pack("=B", one.tos)))
        return made
    if asked((_IPV6, _RECVPKTINFO6)):
        shown = numeric.shown(sock.family, one.target)[0]
        made.append((_IPV6, _PKTINFO6, socket.inet_pton(socket.AF_INET6, shown) + struct.pack("=i", one.interface)))
    if asked((_IPV6, _RECVHOPLIMIT)):
        made.append((_IPV6, _HOPLIMIT, struct.pack("=i", one.ttl)))
    if asked((_IPV6, _RECVTCLASS)):
        made.append((_IPV6, _TCLASS, struct.pack("=i", one.tos)))
    return made


def _local(host: Home) -> str:
    return next((mine for mine in host.addresses if ":" not in mine), "127.0.0.1")


def fitting(control: list[tuple[int, int, bytes]], room: int) -> tuple[list[tuple[int, int, bytes]], int]:
    """Return the control data that `room` bytes hold, and MSG_CTRUNC if that is not all: cmsg(3)."""
    kept: list[tuple[int, int, bytes]] = []
    for one in control:
        head = 16
        if room < head:
            return kept, MSG_CTRUNC
        if room < head + len(one[2]):
            kept.append((one[0], one[1], one[2][: room - head]))
            return kept, MSG_CTRUNC
        kept.append(one)
        room -= head + (len(one[2]) + 7) // 8 * 8
    return kept, 0
