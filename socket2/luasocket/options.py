"""LuaSocket's options by name: how a value is checked, written to a socket and read back.

What has a level and a number in the standard library's socket module exists on this system; what has none there is
known, but cannot be set.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from ..sockets import Socket
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


def _table(value: Any, **fields: Any) -> Any:
    """Check a dict and its fields: the type of each, or what gives it when it is left out."""
    if not isinstance(value, dict):
        raise TypeError(f"dict expected, got {type(value).__name__}")
    for name, (kinds, optional) in fields.items():
        if (name not in value and not optional) or not isinstance(value.get(name), kinds + (type(None),) * optional):
            raise TypeError(f"{kinds[0].__name__} '{name}' field expected")
    return value


def _linger(value: Any) -> Any:
    return _table(value, on=((bool,), False), timeout=((int, float), False))


def _address(value: Any) -> str:
    socket.inet_pton(socket.AF_INET, _string(value)) if value != "*" else None
    return str(value)


def _membership(value: Any) -> Any:
    _table(value, multiaddr=((str,), False), interface=((str,), False))
    _address(value["interface"])
    _address(value["multiaddr"])
    return value


def _membership6(value: Any) -> Any:
    _table(value, multiaddr=((str,), False), interface=((int,), True))
    socket.inet_pton(socket.AF_INET6, value["multiaddr"])
    return value


def _packed(address: str) -> bytes:
    return socket.inet_aton("0.0.0.0" if address == "*" else address)


_LINGER = struct.Struct("ii")
_DEVICE_MAX = 16


def _packed_linger(value: Any) -> bytes:
    return _LINGER.pack(value["on"], int(value["timeout"]))


def _unpacked_linger(data: bytes) -> dict[str, bool | int]:
    on, timeout = _LINGER.unpack(data)
    return {"on": bool(on), "timeout": timeout}


class _Kind(NamedTuple):
    """A kind of value: how it is checked, what the system takes for it, and what is made of what the system gives."""

    check: Callable[[Any], Any]
    encode: Callable[[Any], int | bytes]
    size: int = 0
    decode: Callable[[Any], Any] = int


_BOOLEAN = _Kind(_boolean, int, 0, bool)
_NUMBER = _Kind(_number, int)
_SECONDS = _Kind(_linger, _packed_linger, _LINGER.size, _unpacked_linger)
_DEVICE = _Kind(
    _string, lambda value: value.encode() + b"\0", _DEVICE_MAX, lambda data: data.partition(b"\0")[0].decode()
)
_INTERFACE = _Kind(_address, _packed, 4, socket.inet_ntoa)
_MEMBERSHIP = _Kind(_membership, lambda value: _packed(value["multiaddr"]) + _packed(value["interface"]))
_MEMBERSHIP6 = _Kind(
    _membership6,
    lambda value: (
        socket.inet_pton(socket.AF_INET6, value["multiaddr"]) + struct.pack("@I", value.get("interface") or 0)
    ),
)


class _Option(NamedTuple):
    objects: str
    kind: _Kind
    level: str
    number: str
    readable: bool = True


_KNOWN = {
    "bindtodevice": _Option("tcp udp", _DEVICE, "SOL_SOCKET", "SO_BINDTODEVICE"),
    "broadcast": _Option("udp", _BOOLEAN, "SOL_SOCKET", "SO_BROADCAST"),
    "dontroute": _Option("udp", _BOOLEAN, "SOL_SOCKET", "SO_DONTROUTE"),
    "ip-add-membership": _Option("udp", _MEMBERSHIP, "IPPROTO_IP", "IP_ADD_MEMBERSHIP", False),
    "ip-drop-membership": _Option("udp", _MEMBERSHIP, "IPPROTO_IP", "IP_DROP_MEMBERSHIP", False),
    "ip-multicast-if": _Option("udp", _INTERFACE, "IPPROTO_IP", "IP_MULTICAST_IF"),
    "ip-multicast-loop": _Option("udp", _BOOLEAN, "IPPROTO_IP", "IP_MULTICAST_LOOP"),
    "ip-multicast-ttl": _Option("udp", _NUMBER, "IPPROTO_IP", "IP_MULTICAST_TTL"),
    "ipv6-add-membership": _Option("udp", _MEMBERSHIP6, "IPPROTO_IPV6", "IPV6_JOIN_GROUP", False),
    "ipv6-drop-membership": _Option("udp", _MEMBERSHIP6, "IPPROTO_IPV6", "IPV6_LEAVE_GROUP", False),
    "ipv6-multicast-hops": _Option("udp", _NUMBER, "IPPROTO_IPV6", "IPV6_MULTICAST_HOPS"),
    "ipv6-multicast-loop": _Option("udp", _BOOLEAN, "IPPROTO_IPV6", "IPV6_MULTICAST_LOOP"),
    "ipv6-unicast-hops": _Option("udp", _NUMBER, "IPPROTO_IPV6", "IPV6_UNICAST_HOPS"),
    "ipv6-v6only": _Option("tcp udp", _BOOLEAN, "IPPROTO_IPV6", "IPV6_V6ONLY"),
    "keepalive": _Option("tcp unix", _BOOLEAN, "SOL_SOCKET", "SO_KEEPALIVE"),
    "linger": _Option("tcp unix", _SECONDS, "SOL_SOCKET", "SO_LINGER"),
    "recv-buffer-size": _Option("tcp udp unix", _NUMBER, "SOL_SOCKET", "SO_RCVBUF"),
    "reuseaddr": _Option("tcp udp unix", _BOOLEAN, "SOL_SOCKET", "SO_REUSEADDR"),
    "reuseport": _Option("tcp udp", _BOOLEAN, "SOL_SOCKET", "SO_REUSEPORT"),
    "send-buffer-size": _Option("tcp udp unix", _NUMBER, "SOL_SOCKET", "SO_SNDBUF"),
    "tcp-defer-accept": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_DEFER_ACCEPT", False),
    "tcp-fastopen": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_FASTOPEN", False),
    "tcp-fastopen-connect": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_FASTOPEN_CONNECT", False),
    "tcp-keepcnt": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_KEEPCNT"),
    "tcp-keepidle": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_KEEPIDLE TCP_KEEPALIVE"),  # macOS has the second
    "tcp-keepintvl": _Option("tcp", _NUMBER, "IPPROTO_TCP", "TCP_KEEPINTVL"),
    "tcp-nodelay": _Option("tcp", _BOOLEAN, "IPPROTO_TCP", "TCP_NODELAY"),
}


def settable(object: str) -> frozenset[str]:
    """The options that an object, "tcp", "udp" or "unix", lets be set."""
    return frozenset(name for name, option in _KNOWN.items() if object in option.objects.split())


def gettable(object: str) -> frozenset[str]:
    """Those that can be read; `error` is one more."""
    return frozenset(name for name in settable(object) if _KNOWN[name].readable) | {"error"}


def check(name: str, known: frozenset[str]) -> None:
    """ValueError when an object has no such option, TypeError when it is no name."""
    if name not in known:
        _string(name)
        raise ValueError(f"unsupported option '{name}': it is one of {', '.join(sorted(known))}")


def checked(name: str, value: Any) -> Any:
    """Return a value that the option can have; TypeError for another."""
    try:
        return _KNOWN[name].kind.check(value)
    except OSError:
        raise TypeError(f"{name}: ip expected, got {value!r}") from None


def write(sock: Socket, name: str, value: Any) -> None:
    """Set the option. OSError when the system does not have it, or does not take it."""
    _, kind, level, number, _ = _KNOWN[name]
    sock.setsockopt(_constant(level), _constant(number), kind.encode(value))


def read(sock: Socket, name: str) -> Any:
    """Return the option's value. OSError as for write()."""
    if name == "error":
        failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return message_of(OSError(failure, "")) if failure else None
    _, kind, level, number, _ = _KNOWN[name]
    return kind.decode(sock.getsockopt(_constant(level), _constant(number), kind.size))


def _constant(names: str) -> int:
    for name in names.split():
        if hasattr(socket, name):
            return int(getattr(socket, name))
    raise OSError(None, f"this system has no {names}")
