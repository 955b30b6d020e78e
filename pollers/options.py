"""Socket options: names for people, their numbers and layouts on this system, and those whose right value it sets."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from .closing import LINGER


def prepare_listener(sock: socket.socket) -> None:
    """Before bind(2): let an address be taken again whose old connections still linger, and never one in use.

    POSIX says that with SO_REUSEADDR, where on Windows the same option lets a second program steal the port, and
    SO_EXCLUSIVEADDRUSE is the one to set. UNIX sockets have neither.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if os.name == "nt":
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


class Option:
    """An option by name: its level and number here, None where the system lacks it, and the values people give it."""

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
    # macOS has another name for it.
    "keepalive_idle": _Number(socket.IPPROTO_TCP, "TCP_KEEPIDLE", "TCP_KEEPALIVE"),
    "keepalive_interval": _Number(socket.IPPROTO_TCP, "TCP_KEEPINTVL"),
    "keepalive_count": _Number(socket.IPPROTO_TCP, "TCP_KEEPCNT"),
    "linger": _Linger(socket.SOL_SOCKET, "SO_LINGER"),
    "nodelay": Option(socket.IPPROTO_TCP, "TCP_NODELAY"),
    "rcvbuf": _Number(socket.SOL_SOCKET, "SO_RCVBUF"),
    "reuseaddr": Option(socket.SOL_SOCKET, "SO_REUSEADDR"),
    # FreeBSD spreads connections over the listeners by the first of these only.
    "reuseport": Option(socket.SOL_SOCKET, "SO_REUSEPORT_LB", "SO_REUSEPORT"),
    "sndbuf": _Number(socket.SOL_SOCKET, "SO_SNDBUF"),
    "v6only": Option(socket.IPPROTO_IPV6, "IPV6_V6ONLY"),
}


def option_call(name: str, value: Any) -> tuple[int, int, int | bytes]:
    """Return the arguments of setsockopt() that give an option this value. Raises as get_option(), and TypeError."""
    option, number = _option(name)
    try:
        return option.level, number, option.encode(value)
    except TypeError:
        raise TypeError(f"{name} takes {option.kind}, not {value!r}") from None


def get_option(sock: socket.socket, name: str) -> Any:
    """Return an option's value. ValueError for an unknown name, OSError (ENOPROTOOPT) for one the system lacks."""
    option, number = _option(name)
    return option.read(sock, number)


def _option(name: str) -> tuple[Option, int]:
    option = OPTIONS.get(name)
    if option is None:
        raise ValueError(f"unknown option {name!r}: it is one of {', '.join(OPTIONS)}")
    if option.number is None:
        raise OSError(errno.ENOPROTOOPT, f"this system has no option {name}")
    return option, option.number
