"""LuaSocket's options by name: how to check a value, write it to a socket, and read it back.

Most options exist in socket2 under its own names. The others are available if the standard library's socket module has
a constant for them. If not, the name is known, but the option cannot be set.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from ..sockets.socket import Socket
from .messages import message_of


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"boolean expected, got {type(value).__name__}")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"whole number expected, got {type(value).__name__}")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"string expected, got {type(value).__name__}")
    return value


def _table(value: Any, **fields: tuple[type, ...]) -> Any:
    """Check a dict and the types of its fields. An optional field may be None."""
    if not isinstance(value, dict):
        raise TypeError(f"dict expected, got {type(value).__name__}")
    for name, types in fields.items():
        if not isinstance(value.get(name), types):
            raise TypeError(f"{types[0].__name__} '{name}' field expected")
    return value


def _linger(value: Any) -> Any:
    return _table(value, on=(bool,), timeout=(int, float))


def _address(value: Any) -> str:
    if _string(value) != "*":
        socket.inet_pton(socket.AF_INET, value)
    return str(value)


def _membership(value: Any) -> Any:
    _table(value, multiaddr=(str,), interface=(str,))
    _address(value["interface"])
    _address(value["multiaddr"])
    return value


def _membership6(value: Any) -> Any:
    _table(value, multiaddr=(str,), interface=(int, type(None)))
    socket.inet_pton(socket.AF_INET6, value["multiaddr"])
    return value


def _packed(address: str) -> bytes:
    return socket.inet_aton("0.0.0.0" if address == "*" else address)


class _Kind(NamedTuple):
    """A kind of value: how to check, encode and decode it, and how many bytes to read."""

    check: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    size: int = 0


_DEVICE_MAX = 16

_BOOLEAN = _Kind(_boolean, int, bool)
_NUMBER = _Kind(_number, int, int)
_LINGER = _Kind(
    _linger,
    lambda value: int(value["timeout"]) if value["on"] else None,
    lambda seconds: {"on": seconds is not None, "timeout": seconds or 0},
)
_DEVICE = _Kind(
    _string,
    lambda value: value.encode() + b"\0",
    lambda data: data.partition(b"\0")[0].decode(),
    _DEVICE_MAX,
)
_INTERFACE = _Kind(_address, _packed, socket.inet_ntoa, 4)
_GROUP = _Kind(_membership, lambda value: _packed(value["multiaddr"]) + _packed(value["interface"]), bytes)
_GROUP6 = _Kind(
    _membership6,
    lambda value: (
        socket.inet_pton(socket.AF_INET6, value["multiaddr"]) + struct.pack("@I", value.get("interface") or 0)
    ),
    bytes,
)


class _Option(NamedTuple):
    """An option of some objects. `where`: its name in socket2, or its level and constant."""

    objects: str
    kind: _Kind
    where: str
    readable: bool = True


_KNOWN = {
    "bindtodevice": _Option("tcp udp", _DEVICE, "SOL_SOCKET SO_BINDTODEVICE"),
    "broadcast": _Option("udp", _BOOLEAN, "broadcast"),
    "dontroute": _Option("udp", _BOOLEAN, "dontroute"),
    "ip-add-membership": _Option("udp", _GROUP, "IPPROTO_IP IP_ADD_MEMBERSHIP", False),
    "ip-drop-membership": _Option("udp", _GROUP, "IPPROTO_IP IP_DROP_MEMBERSHIP", False),
    "ip-multicast-if": _Option("udp", _INTERFACE, "IPPROTO_IP IP_MULTICAST_IF"),
    "ip-multicast-loop": _Option("udp", _BOOLEAN, "IPPROTO_IP IP_MULTICAST_LOOP"),
    "ip-multicast-ttl": _Option("udp", _NUMBER, "IPPROTO_IP IP_MULTICAST_TTL"),
    "ipv6-add-membership": _Option("udp", _GROUP6, "IPPROTO_IPV6 IPV6_JOIN_GROUP", False),
    "ipv6-drop-membership": _Option("udp", _GROUP6, "IPPROTO_IPV6 IPV6_LEAVE_GROUP", False),
    "ipv6-multicast-hops": _Option("udp", _NUMBER, "IPPROTO_IPV6 IPV6_MULTICAST_HOPS"),
    "ipv6-multicast-loop": _Option("udp", _BOOLEAN, "IPPROTO_IPV6 IPV6_MULTICAST_LOOP"),
    "ipv6-unicast-hops": _Option("udp", _NUMBER, "IPPROTO_IPV6 IPV6_UNICAST_HOPS"),
    "ipv6-v6only": _Option("tcp udp", _BOOLEAN, "v6only"),
    "keepalive": _Option("tcp unix", _BOOLEAN, "keepalive"),
    "linger": _Option("tcp unix", _LINGER, "linger"),
    "recv-buffer-size": _Option("tcp udp unix", _NUMBER, "rcvbuf"),
    "reuseaddr": _Option("tcp udp unix", _BOOLEAN, "reuseaddr"),
    "reuseport": _Option("tcp udp", _BOOLEAN, "reuseport"),
    "send-buffer-size": _Option("tcp udp unix", _NUMBER, "sndbuf"),
    "tcp-defer-accept": _Option("tcp", _NUMBER, "IPPROTO_TCP TCP_DEFER_ACCEPT", False),
    "tcp-fastopen": _Option("tcp", _NUMBER, "IPPROTO_TCP TCP_FASTOPEN", False),
    "tcp-fastopen-connect": _Option("tcp", _NUMBER, "IPPROTO_TCP TCP_FASTOPEN_CONNECT", False),
    "tcp-keepcnt": _Option("tcp", _NUMBER, "keepalive_count"),
    "tcp-keepidle": _Option("tcp", _NUMBER, "keepalive_idle"),
    "tcp-keepintvl": _Option("tcp", _NUMBER, "keepalive_interval"),
    "tcp-nodelay": _Option("tcp", _BOOLEAN, "nodelay"),
}


def settable(object: str) -> frozenset[str]:
    """Return the options that can be set on an object: "tcp", "udp" or "unix"."""
    return frozenset(name for name, option in _KNOWN.items() if object in option.objects.split())


def gettable(object: str) -> frozenset[str]:
    """Return the options that can be read, including `error`."""
    return frozenset(name for name in settable(object) if _KNOWN[name].readable) | {"error"}


def check(name: str, known: frozenset[str]) -> None:
    """Raise ValueError if an object does not have this option, TypeError if the name is not a string."""
    if name not in known:
        _string(name)
        raise ValueError(f"unsupported option '{name}': expected one of {', '.join(sorted(known))}")


def checked(name: str, value: Any) -> Any:
    """Return the checked value of an option. Raises TypeError if it is invalid."""
    try:
        return _KNOWN[name].kind.check(value)
    except OSError:
        raise TypeError(f"{name}: ip expected, got {value!r}") from None


def write(sock: Socket, name: str, value: Any) -> None:
    """Set an option. Raises OSError if the system lacks it or refuses the value."""
    _, kind, where, _ = _KNOWN[name]
    try:
        if " " in where:
            sock.setsockopt(*_numbers(where), kind.encode(value))
        else:
            sock.setopt(where, kind.encode(value))
    except (OverflowError, TypeError, ValueError, struct.error):
        # TypeError: a number too large for C is taken for bytes.
        raise OSError(errno.EINVAL, f"{value!r} is not a valid value of {name}") from None


def read(sock: Socket, name: str) -> Any:
    """Return an option's value. Raises OSError as write() does."""
    if name == "error":
        failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return message_of(OSError(failure, "")) if failure else None
    _, kind, where, _ = _KNOWN[name]
    return kind.decode(sock.getsockopt(*_numbers(where), kind.size) if " " in where else sock.getopt(where))


def _numbers(where: str) -> tuple[int, int]:
    level, constant = where.split()
    number = getattr(socket, constant, None)
    if number is None:
        raise OSError(errno.ENOPROTOOPT, f"this system has no {constant}")
    return int(getattr(socket, level)), int(number)
