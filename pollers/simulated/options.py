"""setsockopt(2) and getsockopt(2): which options a kind of socket has, their defaults, and what Linux makes of a value.

Names and numbers are Linux's where Python's socket module lacks them. Most options are only kept. Those that do
something are read where that is done.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final

from ..control import constant
from ..operation import system_error
from .description import AF_INET6, AF_UNIX, Description, fail
from .tcp import RECEIVES_MAX, SENDS_MAX, Tcp
from .teardown import ESTABLISHED
from .udp import Udp

SOL, TCP, IP, IPV6 = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
INT_MAX = 2**31 - 1
_BUFFER_MAX = 212992  # /proc/sys/net/core/rmem_max, wmem_max
_SNDBUF_MIN, _RCVBUF_MIN = 4608, 2304

_TYPE, _ERROR, _LINGER = socket.SO_TYPE, socket.SO_ERROR, (SOL, socket.SO_LINGER)
_SNDBUF, _RCVBUF = (SOL, socket.SO_SNDBUF), (SOL, socket.SO_RCVBUF)
_V6ONLY = (IPV6, getattr(socket, "IPV6_V6ONLY", 26))


def _so(name: str, number: int) -> tuple[int, int]:
    return SOL, getattr(socket, name, number)


def _tcp(name: str, number: int) -> tuple[int, int]:
    return TCP, getattr(socket, name, number)


_ACCEPTCONN, _DOMAIN, _PROTOCOL = _so("SO_ACCEPTCONN", 30), _so("SO_DOMAIN", 39), _so("SO_PROTOCOL", 38)
_COOKIE, _PEERCRED, _LOWAT = _so("SO_COOKIE", 57), _so("SO_PEERCRED", 17), _so("SO_RCVLOWAT", 18)
_SNDLOWAT = _so("SO_SNDLOWAT", 19)
_INFO, _CONGESTION, _MAXSEG = _tcp("TCP_INFO", 11), _tcp("TCP_CONGESTION", 13), _tcp("TCP_MAXSEG", 2)

_FLAGS: Final = {
    _so("SO_REUSEADDR", 2),
    _so("SO_REUSEPORT", 15),
    _so("SO_KEEPALIVE", 9),
    _so("SO_BROADCAST", 6),
    _so("SO_DONTROUTE", 5),
    _so("SO_OOBINLINE", 10),
    _so("SO_PASSCRED", 16),
    _so("SO_TIMESTAMP", 29),
    _so("SO_RXQ_OVFL", 40),
}
_TCP_FLAGS = {_tcp("TCP_NODELAY", 1), _tcp("TCP_CORK", 3), _tcp("TCP_QUICKACK", 12)}
_IP_FLAGS = {
    (IP, constant(name) or number)
    for name, number in (
        ("IP_PKTINFO", 8),
        ("IP_RECVTTL", 12),
        ("IP_RECVTOS", 13),
        ("IP_MULTICAST_LOOP", 34),
        ("IP_FREEBIND", 15),
        ("IP_RECVERR", 11),
        ("IP_MULTICAST_ALL", 49),
        ("IP_BIND_ADDRESS_NO_PORT", 24),
    )
}
_IPV6_FLAGS = {
    (IPV6, constant(name) or number)
    for name, number in (
        ("IPV6_V6ONLY", 26),
        ("IPV6_RECVPKTINFO", 49),
        ("IPV6_RECVHOPLIMIT", 51),
        ("IPV6_RECVTCLASS", 66),
        ("IPV6_MULTICAST_LOOP", 19),
        ("IPV6_RECVERR", 25),
    )
}
# Numbers: (least, most, the default, the value that means the default).
_NUMBERS: Final[dict[tuple[int, int], tuple[int, int, int, int | None]]] = {
    _LOWAT: (0, INT_MAX, 1, None),
    _so("SO_PRIORITY", 12): (0, INT_MAX, 0, None),
    _so("SO_MARK", 36): (0, INT_MAX, 0, None),
    _so("SO_BUSY_POLL", 46): (0, INT_MAX, 0, None),
    _so("SO_INCOMING_CPU", 49): (-1, INT_MAX, -1, None),
    _tcp("TCP_KEEPIDLE", 4): (1, 32767, 7200, None),
    _tcp("TCP_KEEPINTVL", 5): (1, 32767, 75, None),
    _tcp("TCP_KEEPCNT", 6): (1, 127, 9, None),
    _tcp("TCP_SYNCNT", 7): (1, 127, 6, None),
    _tcp("TCP_LINGER2", 8): (-INT_MAX, INT_MAX, 60, None),
    _tcp("TCP_DEFER_ACCEPT", 9): (-INT_MAX, INT_MAX, 0, None),
    _tcp("TCP_WINDOW_CLAMP", 10): (0, INT_MAX, 0, None),
    _tcp("TCP_USER_TIMEOUT", 18): (0, INT_MAX, 0, None),
    _tcp("TCP_FASTOPEN", 23): (0, INT_MAX, 0, None),
    _tcp("TCP_NOTSENT_LOWAT", 25): (0, INT_MAX, 0, None),
    (IP, socket.IP_TTL): (1, 255, 64, -1),
    (IP, socket.IP_TOS): (0, 255, 0, None),
    (IP, socket.IP_MULTICAST_TTL): (0, 255, 1, -1),
    (IP, constant("IP_MTU_DISCOVER") or 10): (0, 5, 1, None),
    (IPV6, socket.IPV6_UNICAST_HOPS): (0, 255, 64, -1),
    (IPV6, socket.IPV6_MULTICAST_HOPS): (0, 255, 1, -1),
    (IPV6, constant("IPV6_TCLASS") or 67): (0, 255, 0, -1),
}
_ON_BY_DEFAULT = {
    _tcp("TCP_QUICKACK", 12),
    (IP, socket.IP_MULTICAST_LOOP),
    (IP, 49),
    (IPV6, socket.IPV6_MULTICAST_LOOP),
}
# Those that Udp acts upon, and the interface for groups: their values are structs.
_STRUCTS = {
    (IP, socket.IP_ADD_MEMBERSHIP): 8,
    (IP, socket.IP_DROP_MEMBERSHIP): 8,
    (IP, socket.IP_MULTICAST_IF): 4,
    (IP, 46): 264,
    (IP, 47): 264,
    (IPV6, socket.IPV6_JOIN_GROUP): 20,
    (IPV6, socket.IPV6_LEAVE_GROUP): 20,
    (IPV6, socket.IPV6_MULTICAST_IF): 4,
    (IPV6, 46): 264,
    (IPV6, 47): 264,
    _so("SO_RCVTIMEO", 20): 16,
    _so("SO_SNDTIMEO", 21): 16,
    _LINGER: 8,
}


def _has_level(description: Description, level: int) -> None:
    """Raise OSError if sockets of this kind have no options of the level."""
    if level == SOL:
        return
    if description.family == AF_UNIX:
        fail(errno.EOPNOTSUPP)
    known = level == IP or (level == TCP and isinstance(description, Tcp))
    if not known and not (level == IPV6 and description.family == AF_INET6):
        fail(errno.ENOPROTOOPT)


def set_option(description: Description, level: int, option: int, value: Any) -> None:
    """Do setsockopt(2). Raises OSError."""
    _has_level(description, level)
    key = (level, option)
    made: int | bytes
    if key in _STRUCTS:
        made = _struct(value, _STRUCTS[key], key)
    elif key == _CONGESTION:
        name = bytes(value).rstrip(b"\0")
        if name not in (b"cubic", b"reno"):
            fail(errno.ENOENT)
        made = name
    else:
        made = _number(description, key, _int(value))
    description.options[key] = made
    description.option_changed(level, option, made)


def _int(value: Any) -> int:
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise OverflowError("signed integer is greater than maximum")
        return value
    octets = bytes(value)
    if len(octets) < 4:
        fail(errno.EINVAL)
    found: int = struct.unpack_from("i", octets)[0]
    return found


def _struct(value: Any, size: int, key: tuple[int, int]) -> bytes:
    octets = struct.pack("i", value) if isinstance(value, int) else bytes(value)
    if len(octets) < size:
        fail(errno.EINVAL)
    if key == _LINGER:
        on, seconds = struct.unpack_from("ii", octets)
        return struct.pack("ii", bool(on), seconds)
    return octets


def _number(description: Description, key: tuple[int, int], value: int) -> int:
    if key in _FLAGS or key in _TCP_FLAGS or key in _IP_FLAGS or key in _IPV6_FLAGS:
        if key == _V6ONLY and getattr(description, "has_port", False):
            fail(errno.EINVAL)
        return int(bool(value))
    if key in (_SNDBUF, _RCVBUF):
        least = _SNDBUF_MIN if key == _SNDBUF else _RCVBUF_MIN
        return max(2 * min(value & 0xFFFFFFFF, _BUFFER_MAX), least)
    if key in _NUMBERS:
        least, most, _, resets = _NUMBERS[key]
        if value == resets:
            return _NUMBERS[key][2]
        if key == (IP, socket.IP_TOS):
            value &= 0xFF
        if not least <= value <= most:
            fail(errno.EINVAL)
        return value if key != _LOWAT or value else 1
    if key == _MAXSEG:
        if value and not 88 <= value <= 32767:
            fail(errno.EINVAL)
        return value
    raise system_error(errno.ENOPROTOOPT)


def get_option(description: Description, level: int, option: int, buflen: int) -> int | bytes:
    """Do getsockopt(2). Raises OSError."""
    _has_level(description, level)
    if buflen < 0 or buflen > 1024:
        raise OSError("getsockopt buflen out of range")
    value = _value(description, (level, option))
    if not buflen:
        return value if isinstance(value, int) else int.from_bytes(value[:4].ljust(4, b"\0"), "little", signed=True)
    octets = value if isinstance(value, bytes) else struct.pack("i", value)
    return octets[:buflen]


def _value(description: Description, key: tuple[int, int]) -> int | bytes:
    if key == (SOL, _ERROR):
        return description.take_error()
    if key[0] == SOL:
        found = _of_all(description, key)
        if found is not None:
            return found
    if key in (_SNDBUF, _RCVBUF):
        return _buffer(description, key)
    if key in description.options:
        kept: int | bytes = description.options[key]
        if key == (IP, socket.IP_MULTICAST_IF) and isinstance(kept, bytes):
            return kept[4:8] if len(kept) >= 8 else kept[:4]
        return kept
    if key in _ON_BY_DEFAULT:
        return 1
    if key in _NUMBERS:
        return _NUMBERS[key][2]
    if key in _STRUCTS:
        return bytes(_STRUCTS[key])
    if key in _FLAGS or key in _TCP_FLAGS or key in _IP_FLAGS or key in _IPV6_FLAGS:
        return 0
    if key == _CONGESTION:
        return b"cubic".ljust(16, b"\0")
    if key == _MAXSEG:
        return 32741 if getattr(description, "state", 0) == ESTABLISHED else 536
    if key == _INFO:
        return bytes([_INFO_STATES[getattr(description, "state", 0)]]).ljust(232, b"\0")
    raise system_error(errno.ENOPROTOOPT)


# The numbers of the states of TCP in tcp_info, in the order of ours.
_INFO_STATES = (7, 10, 2, 1, 8, 4, 5, 11, 9, 6)


def _of_all(description: Description, key: tuple[int, int]) -> int | bytes | None:
    """Return what every socket has and nobody sets."""
    if key == (SOL, _TYPE):
        return description.type
    if key == _ACCEPTCONN:
        return int(description.is_listening)
    if key == _DOMAIN:
        return description.family
    if key == _PROTOCOL:
        return description.proto or {"tcp": 6, "udp": 17}.get(description.protocol, 0)
    if key == _COOKIE:
        return description.cookie.to_bytes(8, "little")
    if key == _PEERCRED:
        return struct.pack("iii", *getattr(description, "credentials", (0, -1, -1)))
    if key == _SNDLOWAT:
        return 1
    return None


def _buffer(description: Description, key: tuple[int, int]) -> int:
    if key in description.options:
        found: int = description.options[key]
        return found
    if isinstance(description, Tcp):
        if key == _RCVBUF:
            return RECEIVES_MAX
        return SENDS_MAX if description.state == ESTABLISHED else 16384
    return _BUFFER_MAX


def lingers_s(description: Description) -> int:
    """Return for how many seconds close(2) of a blocking socket waits, 0 if it does not."""
    if not isinstance(description, (Tcp, Udp)):
        return 0
    on, seconds = struct.unpack("ii", description.options.get(_LINGER, bytes(8)))
    return int(seconds) if on else 0
