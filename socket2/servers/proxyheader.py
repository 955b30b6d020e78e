"""The header of the PROXY protocol, versions 1 and 2, without I/O: from whom a balancer has the connection.

Whoever receives it must take no byte behind it: TLS or the protocol of the handler begins there. So the parser says how
many bytes the rest of the header has at least, and they are received exactly.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

from ..sockets.address import SocketAddress

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = b"PROXY "
_V1_MAX = 107
_V1_LEAST = 15  # "PROXY UNKNOWN" and a line end
_V2_FIXED = 16

# Behind the fixed part of version 2. The protocol allows 65 535, which nobody needs; nginx takes as much as this.
_V2_MAX = 4096

_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n").fullmatch
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n\x00]*)?\r\n").fullmatch

# The fewest bytes of each part behind "PROXY TCP4 " and "PROXY TCP6 ": two addresses, two ports.
_PARTS = {b"TCP4": (7, 7, 1, 1), b"TCP6": (2, 2, 1, 1)}

# Of version 2: the size of two addresses and, in IP, two ports.
_SIZES = {0: 0, 1: 12, 2: 36, 3: 216}
_ALPN, _AUTHORITY = 1, 2


class MalformedHeader(Exception):
    """What came is no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a balancer says of a connection that it passes on.

    `source`: the address of the client, in the form of the standard library; None if the connection is the balancer's
    own, such as a health check, or if it does not know. `destination`: where the client has connected to.
    `authority`, `alpn`: the name and the protocol that the client has asked for in TLS, if the balancer says so.
    """

    source: SocketAddress | None = None
    destination: SocketAddress | None = None
    authority: str | None = None
    alpn: str | None = None


class HeaderParser:
    """Takes the header in pieces. `header`: the result, None before the end.

    `lacks`: how many bytes of it are still to come, at least. Receive no more than that.
    """

    __slots__ = ("_data", "header", "lacks")

    def __init__(self) -> None:
        self._data = b""
        self.header: ProxyHeader | None = None
        self.lacks = _V1_LEAST

    def add(self, piece: bytes) -> None:
        """Add what was received, at most `lacks` bytes. Raises MalformedHeader as soon as it cannot be one."""
        self._data = data = self._data + piece
        if data.startswith(_SIGNATURE[: len(data)]):
            self._add_binary(data)
        elif data.startswith(_V1[: len(data)]):
            self._add_line(data)
        else:
            raise MalformedHeader("it does not begin with a header of the PROXY protocol")

    def _add_line(self, data: bytes) -> None:
        if data.endswith(b"\r\n"):
            self.header = _of_line(data)
            self.lacks = 0
            return
        if len(data) >= _V1_MAX:
            raise MalformedHeader(f"the header is longer than {_V1_MAX} bytes")
        if b"\n" in data or b"\r" in data[:-1]:
            raise MalformedHeader("the header has a line end in it")
        self.lacks = min(max(_least_left(data), _V1_LEAST - len(data)), _V1_MAX - len(data))

    def _add_binary(self, data: bytes) -> None:
        if len(data) < _V2_FIXED:
            self.lacks = _V2_FIXED - len(data)
            return
        version_and_command, family_and_protocol, size = struct.unpack_from("!BBH", data, len(_SIGNATURE))
        if len(data) == _V2_FIXED:
            _check_binary(version_and_command, family_and_protocol, size)
        self.lacks = _V2_FIXED + size - len(data)
        if not self.lacks:
            self.header = _of_binary(version_and_command & 15, family_and_protocol, data[_V2_FIXED:])


def _least_left(data: bytes) -> int:
    """Return how many bytes the rest of a line of version 1 has at least."""
    if data.endswith(b"\r"):
        return 1
    kind, *parts = data[len(_V1) :].split(b" ")
    sizes = _PARTS.get(kind)
    if sizes is None or not parts:
        return 2
    missing = sizes[len(parts) :]
    return max(sizes[len(parts) - 1] - len(parts[-1]), 0) + sum(missing) + len(missing) + 2 if len(parts) <= 4 else 2


def _of_line(line: bytes) -> ProxyHeader:
    if _UNKNOWN(line):
        return ProxyHeader()
    found = _LINE(line)
    if found is None:
        raise MalformedHeader("the header of version 1 is malformed")
    kind, *hosts, source_port, destination_port = found.groups()
    addresses: list[SocketAddress] = []
    for host, digits in zip(hosts, (source_port, destination_port), strict=True):
        port = int(digits)
        if port > 65535 or digits != b"%d" % port:
            raise MalformedHeader("a port in the header is malformed")
        family = socket.AF_INET if kind == b"TCP4" else socket.AF_INET6
        try:
            packed = socket.inet_pton(family, host.decode("ascii"))
        except OSError:
            raise MalformedHeader("an address in the header is malformed") from None
        addresses.append(_address(family, packed, port))
    return ProxyHeader(addresses[0], addresses[1])


def _check_binary(version_and_command: int, family_and_protocol: int, size: int) -> None:
    """Refuse a header of version 2 for its fixed part, before the rest has come."""
    family, protocol = divmod(family_and_protocol, 16)
    if version_and_command not in (0x20, 0x21):
        raise MalformedHeader("the header has an unknown version or command")
    if size > _V2_MAX:
        raise MalformedHeader(f"the header has more than {_V2_MAX} bytes behind its fixed part")
    if version_and_command == 0x20:
        return  # whatever the rest is, it is to be ignored
    if family not in _SIZES or protocol > 2:
        raise MalformedHeader("the header has an unknown family or protocol")
    if size < _SIZES[family]:
        raise MalformedHeader("the header is too short for its addresses")


def _of_binary(command: int, family_and_protocol: int, rest: bytes) -> ProxyHeader:
    if command == 0:
        return ProxyHeader()
    family, protocol = divmod(family_and_protocol, 16)
    size = _SIZES[family]
    authority, alpn = _extras(rest[size:])
    if protocol != 1:  # not a stream, or not said
        return ProxyHeader(None, None, authority, alpn)
    source, destination = _addresses(family, rest[:size])
    return ProxyHeader(source, destination, authority, alpn)


def _addresses(family: int, data: bytes) -> tuple[SocketAddress | None, SocketAddress | None]:
    if family == 0:
        return None, None
    if family == 3:
        return _path(data[:108]), _path(data[108:])
    ip = socket.AF_INET if family == 1 else socket.AF_INET6
    size = 4 if family == 1 else 16
    source_port, destination_port = struct.unpack_from("!HH", data, 2 * size)
    return _address(ip, data[:size], source_port), _address(ip, data[size : 2 * size], destination_port)


def _address(family: int, packed: bytes, port: int) -> SocketAddress:
    host = socket.inet_ntop(family, packed)
    return (host, port) if family == socket.AF_INET else (host, port, 0, 0)


def _path(field: bytes) -> str:
    """Return a UNIX path; an abstract name begins with NUL, as in the standard library."""
    name = field[:1] + field[1:].partition(b"\x00")[0]
    return name.decode(errors="surrogateescape") if name != b"\x00" else ""


def _extras(rest: bytes) -> tuple[str | None, str | None]:
    """Return the authority and ALPN behind the addresses. All other extras are skipped."""
    found: dict[int, str] = {}
    at = 0
    while at < len(rest):
        if len(rest) - at < 3:
            raise MalformedHeader("an extra of the header is cut off")
        kind, size = struct.unpack_from("!BH", rest, at)
        at += 3
        if size > len(rest) - at:
            raise MalformedHeader("an extra of the header is longer than the header")
        if kind in (_ALPN, _AUTHORITY):
            found[kind] = rest[at : at + size].decode("utf-8", "backslashreplace")
        at += size
    return found.get(_AUTHORITY), found.get(_ALPN)
