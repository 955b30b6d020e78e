"""Membership in multicast groups, and network interfaces by name, number or address: ip(7), ipv6(7), RFC 3678."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import TypeAlias

Interface: TypeAlias = "str | int | None"
"""The name, the number or an IPv4 address of a network interface; None leaves the choice to the system."""

# Python's socket module lacks these. They take an interface by its number, for both families. Linux, macOS and FreeBSD.
_JOIN_SOURCE, _LEAVE_SOURCE = (46, 47) if sys.platform == "linux" else (82, 83)

_STORAGE_SIZE = 128  # of a sockaddr_storage


def interface_of(interface: Interface) -> tuple[int, bytes]:
    """Return the number of an interface and its IPv4 address. One of the two is 0, or both.

    Raises OSError (ENODEV) if there is no such interface, TypeError; ValueError if the number is out of range.
    """
    if interface is None:
        return 0, bytes(4)
    if isinstance(interface, int) and not isinstance(interface, bool):
        if not 0 <= interface < 2**31:
            raise ValueError(f"{interface} is not the number of an interface")
        return interface, bytes(4)
    if not isinstance(interface, str):
        raise TypeError(f"an interface must be a name, a number or an address, not {interface!r}")
    try:
        return 0, socket.inet_pton(socket.AF_INET, interface)
    except OSError:
        pass
    try:
        return socket.if_nametoindex(interface), bytes(4)
    except OSError:
        raise OSError(errno.ENODEV, f"there is no interface {interface!r}") from None


def sending_interface(family: int, interface: Interface) -> bytes:
    """Return the value of IP_MULTICAST_IF or IPV6_MULTICAST_IF. Raises as interface_of(), and ValueError."""
    index, address = interface_of(interface)
    if family == socket.AF_INET6:
        return struct.pack("@I", _index_only(index, address, interface))
    return _interface4(index, address) if os.name == "nt" else bytes(4) + address + struct.pack("@i", index)


def _index_only(index: int, address: bytes, interface: Interface) -> int:
    if any(address):
        raise ValueError(f"IPv6 needs the name or the number of an interface, not the address {interface}")
    return index


def _interface4(index: int, address: bytes) -> bytes:
    """Return the address of an interface for Windows, which takes its number in the form 0.0.0.n."""
    return struct.pack(">I", index) if index else address


def group_call(group: str, interface: Interface, source: str | None, join: bool) -> tuple[int, int, bytes]:
    """Return the arguments of setsockopt(2) that join or leave a multicast group.

    `source`: only its datagrams are received. Raises ValueError if `group` is not the address of a group, or `source`
    not an address of its family; OSError (ENODEV: no such interface; ENOPROTOOPT: this system has no such option).
    """
    family, octets = _group(group)
    index, address = interface_of(interface)
    level = socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP
    if source is not None:
        return level, _LEAVE_SOURCE if not join else _JOIN_SOURCE, _of_source(family, octets, interface, source)
    if family == socket.AF_INET6:
        option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
        return level, option, octets + struct.pack("@I", _index_only(index, address, interface))
    option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
    if os.name == "nt":
        return level, option, octets + _interface4(index, address)
    return level, option, octets + address + struct.pack("@i", index)


def _group(group: str) -> tuple[int, bytes]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            octets = socket.inet_pton(family, group)
        except OSError:
            continue
        if octets[0] >> 4 == 0xE if family == socket.AF_INET else octets[0] == 0xFF:
            return family, octets
    raise ValueError(f"{group!r} is not the address of a multicast group")


def _of_source(family: int, group: bytes, interface: Interface, source: str) -> bytes:
    """Return a struct group_source_req."""
    if os.name == "nt":
        raise OSError(errno.ENOPROTOOPT, "groups with a source are not supported on this system")
    try:
        sender = socket.inet_pton(family, source)
    except OSError:
        raise ValueError(f"{source!r} is not an IP address of the group's family") from None
    index, address = interface_of(interface)
    if any(address):
        raise ValueError(f"a group with a source needs the name or the number of an interface, not {interface}")
    return struct.pack("@I0P", index) + _storage(family, group) + _storage(family, sender)


def _storage(family: int, octets: bytes) -> bytes:
    size = 16 if family == socket.AF_INET else 28
    begin = struct.pack("@H", family) if sys.platform == "linux" else struct.pack("BB", size, family)
    return (begin + bytes(2 if family == socket.AF_INET else 6) + octets).ljust(_STORAGE_SIZE, b"\0")
