"""Socket options: their names for people, their numbers and layouts on this system, and the right ones for a listener.

It knows what each system calls an option and how it encodes the value. It must not know who sets one.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from .closing import LINGER


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


class Option:
    """An option: its level and number (None if this system lacks it), and how its values are encoded and read."""

    kind = "True or False"

    def __init__(self, level: int, *constants: str) -> None:
        self.level = level
        self.number: int | None = next((getattr(socket, name) for name in constants if hasattr(socket, name)), None)

    def encode(self, value: Any) -> int | bytes:
        if not isinstance(value, (bool, int)) or value not in (0, 1):
            raise TypeError(value)
        return int(value)

    def read(self, sock: socket.socket, number: int) -> Any:
        return bool(sock.getsockopt(self.level, number))


class _Number(Option):
    kind = "a whole number"

    def encode(self, value: Any) -> int | bytes:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(value)
        return value

    def read(self, sock: socket.socket, number: int) -> Any:
        return sock.getsockopt(self.level, number)


class _Linger(Option):
    kind = "a whole number of seconds, or None"

    def encode(self, value: Any) -> int | bytes:
        if value is None or value is False:
            return LINGER.pack(0, 0)
        if value is True or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            raise TypeError(value)
        return LINGER.pack(1, value)

    def read(self, sock: socket.socket, number: int) -> Any:
        on, seconds = LINGER.unpack(sock.getsockopt(self.level, number, LINGER.size))
        return seconds if on else None


OPTIONS: Final[dict[str, Option]] = {
    "broadcast": Option(socket.SOL_SOCKET, "SO_BROADCAST"),
    "dontroute": Option(socket.SOL_SOCKET, "SO_DONTROUTE"),
    "keepalive": Option(socket.SOL_SOCKET, "SO_KEEPALIVE"),
    # macOS calls it TCP_KEEPALIVE.
    "keepalive_idle": _Number(socket.IPPROTO_TCP, "TCP_KEEPIDLE", "TCP_KEEPALIVE"),
    "keepalive_interval": _Number(socket.IPPROTO_TCP, "TCP_KEEPINTVL"),
    "keepalive_count": _Number(socket.IPPROTO_TCP, "TCP_KEEPCNT"),
    "linger": _Linger(socket.SOL_SOCKET, "SO_LINGER"),
    "nodelay": Option(socket.IPPROTO_TCP, "TCP_NODELAY"),
    "rcvbuf": _Number(socket.SOL_SOCKET, "SO_RCVBUF"),
    "reuseaddr": Option(socket.SOL_SOCKET, "SO_REUSEADDR"),
    # FreeBSD distributes connections over the listeners only with SO_REUSEPORT_LB.
    "reuseport": Option(socket.SOL_SOCKET, "SO_REUSEPORT_LB", "SO_REUSEPORT"),
    "sndbuf": _Number(socket.SOL_SOCKET, "SO_SNDBUF"),
    "v6only": Option(socket.IPPROTO_IPV6, "IPV6_V6ONLY"),
}


def option_call(name: str, value: Any) -> tuple[int, int, int | bytes]:
    """Return the arguments of setsockopt(2) that set the option `name` to `value`.

    Raises TypeError if the option does not take such a value, and the same errors as get_option().
    """
    option, number = _option(name)
    try:
        return option.level, number, option.encode(value)
    except TypeError:
        raise TypeError(f"{name} takes {option.kind}, not {value!r}") from None


def get_option(sock: socket.socket, name: str) -> Any:
    """Return the value of the option `name`. getsockopt(2).

    Raises ValueError if the name is unknown, OSError (ENOPROTOOPT) if this system lacks the option.
    """
    option, number = _option(name)
    return option.read(sock, number)


def _option(name: str) -> tuple[Option, int]:
    option = OPTIONS.get(name)
    if option is None:
        raise ValueError(f"unknown option {name!r}: the options are {', '.join(OPTIONS)}")
    if option.number is None:
        raise OSError(errno.ENOPROTOOPT, f"this system has no option {name}")
    return option, option.number
