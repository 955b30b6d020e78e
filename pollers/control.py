"""Control data of messages: what recvmsg(2) and sendmsg(2) carry beside the data. Numbers and layouts of this system.

It knows where a packet arrived, its TTL (hop limit) and TOS (traffic class): ip(7), ipv6(7), cmsg(3), RFC 3542. Must
not know how a message is received.
"""

from __future__ import annotations

import array
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Control: TypeAlias = tuple[int, int, bytes]
"""(level, type, data), as in the standard library."""

# Python's socket module lacks most of these names. In order: Linux, macOS.
_NUMBERS = {
    "IP_PKTINFO": (8, 26),
    "IP_RECVTTL": (12, 24),
    "IP_RECVTOS": (13, 27),
    "IPV6_RECVPKTINFO": (49, 61),
    "IPV6_PKTINFO": (50, 46),
    "IPV6_RECVHOPLIMIT": (51, 37),
    "IPV6_HOPLIMIT": (52, 47),
    "IPV6_RECVTCLASS": (66, 35),
    "IPV6_TCLASS": (67, 36),
}
_COLUMN = {"linux": 0, "darwin": 1}.get(sys.platform)


def constant(name: str) -> int | None:
    """Return the number of a socket constant, None if this system lacks it."""
    found = getattr(socket, name, None)
    if found is None and _COLUMN is not None and name in _NUMBERS:
        return _NUMBERS[name][_COLUMN]
    return found


_IP_PKTINFO, _IPV6_PKTINFO = constant("IP_PKTINFO"), constant("IPV6_PKTINFO")
_INFO, _INFO6 = struct.Struct("=i4s4s"), struct.Struct("=16si")

# Linux sends the TTL under the name of the option that sets it, other systems under that of the one that requests it.
_TTL = {(socket.IPPROTO_IP, number) for number in (constant("IP_TTL"), constant("IP_RECVTTL"))} | {
    (socket.IPPROTO_IPV6, constant("IPV6_HOPLIMIT"))
}
_TOS = {(socket.IPPROTO_IP, number) for number in (constant("IP_TOS"), constant("IP_RECVTOS"))} | {
    (socket.IPPROTO_IPV6, constant("IPV6_TCLASS"))
}

FD_SIZE: Final = array.array("i").itemsize


@dataclass(frozen=True, slots=True)
class PacketInfo:
    """Where a datagram arrived, or from where one is to be sent."""

    local: str = ""
    """The local address from which an answer should come. "" leaves the choice to the system."""
    interface: int = 0
    """The number of the network interface: socket.if_indextoname(). 0 leaves the choice to the system."""
    destination: str = ""
    """The address that the datagram was sent to. It may be a group or a broadcast address. Not used for sending."""


def packet_info_of(ancillary: Iterable[Control]) -> PacketInfo | None:
    """Return where the datagram arrived, None if the control data does not tell."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _INFO.size:
            index, local, destination = _INFO.unpack_from(data)
            return PacketInfo(socket.inet_ntoa(local), index, socket.inet_ntoa(destination))
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO) and len(data) >= _INFO6.size:
            destination, index = _INFO6.unpack_from(data)
            text = socket.inet_ntop(socket.AF_INET6, destination)
            return PacketInfo("" if destination[0] == 0xFF else text, index, text)
    return None


def ttl_of(ancillary: Iterable[Control]) -> int | None:
    """Return the TTL or hop limit, None if the control data does not tell."""
    return _number_of(ancillary, _TTL)


def tos_of(ancillary: Iterable[Control]) -> int | None:
    """Return the TOS or traffic class, None if the control data does not tell."""
    return _number_of(ancillary, _TOS)


def _number_of(ancillary: Iterable[Control], kinds: set[Any]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in kinds:
            return int.from_bytes(data[:4], sys.byteorder)
    return None


def rights_of(ancillary: Iterable[Control]) -> list[int]:
    """Return the descriptors that came. They are open in this process."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % FD_SIZE])
    return fds.tolist()


def without_rights(ancillary: Iterable[Control]) -> list[Control]:
    """Return the control data that is no descriptors."""
    return [item for item in ancillary if item[:2] != (socket.SOL_SOCKET, socket.SCM_RIGHTS)]


def control_of(
    family: int,
    *,
    packet_info: PacketInfo | None = None,
    ttl: int | None = None,
    tos: int | None = None,
    fds: Sequence[int] = (),
) -> list[Control]:
    """Return the control data for a message to send. Raises ValueError if sockets of this family have no such data."""
    made: list[Control] = []
    if family not in (socket.AF_INET, socket.AF_INET6) and not (packet_info is None and ttl is None and tos is None):
        raise ValueError("only an internet socket sends packets with a source, TTL or TOS")
    if packet_info is not None:
        made.append(_sent_from(family, packet_info))
    for number, name, name6 in ((ttl, "IP_TTL", "IPV6_HOPLIMIT"), (tos, "IP_TOS", "IPV6_TCLASS")):
        if number is not None:
            if not 0 <= number <= 255:
                raise ValueError(f"{name[3:]} must be from 0 to 255, not {number}")
            level = socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP
            made.append((level, _known(name6 if family == socket.AF_INET6 else name), struct.pack("=i", number)))
    if fds:
        if family != getattr(socket, "AF_UNIX", None):
            raise ValueError("descriptors travel only over UNIX sockets")
        made.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes()))
    return made


def _sent_from(family: int, info: PacketInfo) -> Control:
    local = info.local or ("::" if family == socket.AF_INET6 else "0.0.0.0")
    try:
        octets = socket.inet_pton(family, local.partition("%")[0])
    except OSError:
        raise ValueError(f"{local!r} is not an IP address of the socket's family") from None
    if family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, _known("IPV6_PKTINFO"), _INFO6.pack(octets, info.interface)
    return socket.IPPROTO_IP, _known("IP_PKTINFO"), _INFO.pack(info.interface, octets, bytes(4))


def _known(name: str) -> int:
    number = constant(name)
    if number is None:
        raise ValueError(f"this system has no {name}")
    return number
