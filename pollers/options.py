"""Socket options: their names for people, their numbers and layouts on this system, and the right ones for a listener.

It knows what each system calls an option and how it encodes the value. It must not know who sets one.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from .closing import LINGER
from .control import constant
from .multicast import sending_interface


def prepare_listener(sock: socket.socket) -> None:
    """Call this before bind(2). An address can then be bound again while old connections are in TIME_WAIT, but never
    while another socket listens on it.

    POSIX systems have SO_REUSEADDR for this. On Windows that option would let another program steal the port, so
    SO_EXCLUSIVEADDRUSE is set instead. UNIX sockets have neither.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if os.name == "nt":
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


# The kernel takes most numbers as an int.
_INT_MAX = 2**31 - 1

# Of keepalive. Linux refuses more.
_PERIOD_MAX_S = 32767 if sys.platform == "linux" else _INT_MAX
_PROBES_MAX = 127 if sys.platform == "linux" else _INT_MAX


class Option:
    """An option: its level and number (None if this system lacks it), and how its values are encoded and read."""

    kind = "True or False"

    def __init__(self, level: int, *constants: str) -> None:
        self.level = level
        self.number = next((number for name in constants if (number := constant(name)) is not None), None)

    def encode(self, value: Any) -> int | bytes:
        if not isinstance(value, (bool, int)) or value not in (0, 1):
            raise TypeError(value)
        return int(value)

    def read(self, sock: socket.socket, number: int) -> Any:
        return bool(sock.getsockopt(self.level, number))


class _Number(Option):
    """A number from `least` to `most`."""

    kind = "a whole number"

    def __init__(self, level: int, *constants: str, least: int = 0, most: int = _INT_MAX) -> None:
        super().__init__(level, *constants)
        self.least = least
        self.most = most

    def encode(self, value: Any) -> int | bytes:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(value)
        if not self.least <= value <= self.most:
            raise ValueError(f"{value} is not from {self.least} to {self.most}")
        return value

    def read(self, sock: socket.socket, number: int) -> Any:
        return sock.getsockopt(self.level, number)


class _Linger(Option):
    kind = "a whole number of seconds, or None"

    def encode(self, value: Any) -> int | bytes:
        if value is None or value is False:
            return LINGER.pack(0, 0)
        if value is True or not isinstance(value, int):
            raise TypeError(value)
        if not 0 <= value <= 0xFFFF:
            raise ValueError(f"{value} is not from 0 to 65535")
        return LINGER.pack(1, value)

    def read(self, sock: socket.socket, number: int) -> Any:
        on, seconds = LINGER.unpack(sock.getsockopt(self.level, number, LINGER.size))
        return seconds if on else None


class _Interface(Option):
    kind = "the name, number or IPv4 address of an interface, or None"

    def __init__(self, family: int, level: int, *constants: str) -> None:
        super().__init__(level, *constants)
        self._family = family

    def encode(self, value: Any) -> int | bytes:
        return sending_interface(self._family, value)

    def read(self, sock: socket.socket, number: int) -> Any:
        """Return the number, or for IPv4 the address, which is 0.0.0.0 if it was set by a name or a number."""
        found = sock.getsockopt(self.level, number, 4)
        return socket.inet_ntoa(found) if self._family == socket.AF_INET else int.from_bytes(found, sys.byteorder)


class _ByFamily(Option):
    """An option that IPv4 and IPv6 each have. `options`: in this order."""

    def __init__(self, *options: Option) -> None:
        self._options: Sequence[Option] = options

    def of(self, family: int) -> Option:
        return self._options[family == socket.AF_INET6]


def _both(kind: Callable[..., Option], name: str, name6: str) -> _ByFamily:
    return _ByFamily(kind(socket.IPPROTO_IP, name), kind(socket.IPPROTO_IPV6, name6))


_octet = partial(_Number, most=255)


OPTIONS: Final[dict[str, Option]] = {
    "broadcast": Option(socket.SOL_SOCKET, "SO_BROADCAST"),
    "dontroute": Option(socket.SOL_SOCKET, "SO_DONTROUTE"),
    "keepalive": Option(socket.SOL_SOCKET, "SO_KEEPALIVE"),
    # macOS calls it TCP_KEEPALIVE.
    "keepalive_idle": _Number(socket.IPPROTO_TCP, "TCP_KEEPIDLE", "TCP_KEEPALIVE", least=1, most=_PERIOD_MAX_S),
    "keepalive_interval": _Number(socket.IPPROTO_TCP, "TCP_KEEPINTVL", least=1, most=_PERIOD_MAX_S),
    "keepalive_count": _Number(socket.IPPROTO_TCP, "TCP_KEEPCNT", least=1, most=_PROBES_MAX),
    "linger": _Linger(socket.SOL_SOCKET, "SO_LINGER"),
    "multicast_interface": _ByFamily(
        _Interface(socket.AF_INET, socket.IPPROTO_IP, "IP_MULTICAST_IF"),
        _Interface(socket.AF_INET6, socket.IPPROTO_IPV6, "IPV6_MULTICAST_IF"),
    ),
    "multicast_loop": _both(Option, "IP_MULTICAST_LOOP", "IPV6_MULTICAST_LOOP"),
    "multicast_ttl": _both(_octet, "IP_MULTICAST_TTL", "IPV6_MULTICAST_HOPS"),
    "nodelay": Option(socket.IPPROTO_TCP, "TCP_NODELAY"),
    # These three ask for control data: control.py.
    "packet_info": _both(Option, "IP_PKTINFO", "IPV6_RECVPKTINFO"),
    "recv_tos": _both(Option, "IP_RECVTOS", "IPV6_RECVTCLASS"),
    "recv_ttl": _both(Option, "IP_RECVTTL", "IPV6_RECVHOPLIMIT"),
    "rcvbuf": _Number(socket.SOL_SOCKET, "SO_RCVBUF"),
    "reuseaddr": Option(socket.SOL_SOCKET, "SO_REUSEADDR"),
    # FreeBSD distributes connections over the listeners only with SO_REUSEPORT_LB.
    "reuseport": Option(socket.SOL_SOCKET, "SO_REUSEPORT_LB", "SO_REUSEPORT"),
    "sndbuf": _Number(socket.SOL_SOCKET, "SO_SNDBUF"),
    "tos": _both(_octet, "IP_TOS", "IPV6_TCLASS"),
    "ttl": _ByFamily(_octet(socket.IPPROTO_IP, "IP_TTL", least=1), _octet(socket.IPPROTO_IPV6, "IPV6_UNICAST_HOPS")),
    "v6only": Option(socket.IPPROTO_IPV6, "IPV6_V6ONLY"),
}


def option_call(name: str, value: Any, family: int = socket.AF_INET) -> tuple[int, int, int | bytes]:
    """Return the arguments of setsockopt(2) that set the option `name` of a socket of this family to `value`.

    Raises TypeError if the option does not take such a value, ValueError if the number is out of range, and the same
    errors as get_option().
    """
    option, number = _option(name, family)
    try:
        return option.level, number, option.encode(value)
    except TypeError:
        raise TypeError(f"{name} takes {option.kind}, not {value!r}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def get_option(sock: socket.socket, name: str) -> Any:
    """Return the value of the option `name`. getsockopt(2).

    Raises ValueError if the name is unknown, OSError (ENOPROTOOPT) if this system lacks the option.
    """
    option, number = _option(name, sock.family)
    return option.read(sock, number)


def _option(name: str, family: int) -> tuple[Option, int]:
    option = OPTIONS.get(name)
    if option is None:
        raise ValueError(f"unknown option {name!r}: the options are {', '.join(OPTIONS)}")
    if isinstance(option, _ByFamily):
        option = option.of(family)
    if option.number is None:
        raise OSError(errno.ENOPROTOOPT, f"this system has no option {name}")
    return option, option.number
