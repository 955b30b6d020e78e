"""Socket addresses in the form of the standard library, and as the simulated kernel keeps them: (IP as text, port).

An IPv4 address that an IPv6 socket sees as ::ffff:1.2.3.4 is kept as IPv4. It looks up no names but "localhost".
"""

from __future__ import annotations

import errno
import socket
from functools import lru_cache
from typing import Any

from ..operation import system_error
from .description import AF_INET, AF_INET6

Endpoint = tuple[str, int]

_MAPPED = "::ffff:"
_NAMES = {
    (AF_INET, ""): "0.0.0.0",
    (AF_INET6, ""): "::",
    (AF_INET, "localhost"): "127.0.0.1",
    (AF_INET6, "localhost"): "::1",
    (AF_INET, "<broadcast>"): "255.255.255.255",
}


@lru_cache(1024)
def _ip(family: int, host: str) -> str:
    host = _NAMES.get((family, host), host)
    real = socket.AF_INET if family == AF_INET else socket.AF_INET6
    try:
        text = socket.inet_ntop(real, socket.inet_pton(real, host.partition("%")[0]))
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    return text[len(_MAPPED) :] if text.startswith(_MAPPED) and "." in text else text


def endpoint(family: int, address: Any, call: str) -> Endpoint:
    """Return the address that a program gave. Raises as the socket module does."""
    if not isinstance(address, tuple):
        kind = "AF_INET6" if family == AF_INET6 else "AF_INET"
        raise TypeError(f"{call}(): {kind} address must be tuple, not {type(address).__name__}")
    if family == AF_INET:
        if len(address) != 2:
            raise TypeError(f"{call}(): AF_INET address must be a pair (host, port)")
    elif not 2 <= len(address) <= 4:
        raise TypeError(f"{call}(): AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
    host, port = address[0], address[1]
    if not isinstance(port, int):
        raise TypeError(f"'{type(port).__name__}' object cannot be interpreted as an integer")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode()
    if not isinstance(host, str):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    return _ip(family, host), port


def shown(family: int, here: Endpoint) -> Any:
    """Return an address as getsockname(2) of a socket of this family does."""
    if family == AF_INET:
        return here
    ip = here[0]
    return (ip if ":" in ip else f"{_MAPPED}{ip}", here[1], 0, 0)


def fits(family: int, ip: str, only_six: bool) -> bool:
    """Return whether a socket of this family can use the address."""
    return (":" in ip) == (family == AF_INET6) or (family == AF_INET6 and not only_six)


def is_group(ip: str) -> bool:
    """Return whether this is a multicast address."""
    if ":" in ip:
        return ip.startswith("ff")
    return 224 <= int(ip.partition(".")[0]) <= 239


def check_local(host: Any, ip: str) -> None:
    """Raise OSError (EADDRNOTAVAIL) if no socket of this host can be bound to the address."""
    if ip not in ("0.0.0.0", "::", "255.255.255.255") and not host.has(ip) and not is_group(ip):
        raise system_error(errno.EADDRNOTAVAIL)
