"""LuaSocket's lookups, made by the loop's resolver. A slow lookup delays only the thread that asked."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from types import NoneType
from typing import Any

from pollers import Operation

from ..threads.osthreads import answer_of, look_up, resolver
from ..threads.scheduler import current_scheduler
from .calls import call
from .lookup import family_of
from .messages import NO_HOST, NO_NAME, Message, message_of

Resolved = tuple[str | None, dict[str, Any] | Message | None]
"""(answer, {"name": ..., "alias": [...], "ip": [...]}) or (None, err)."""


def gethostname() -> str:
    """Return this machine's name. gethostname(2)."""
    return socket.gethostname()


def toip(address: str) -> Operation[Resolved]:
    """Find a host's first IPv4 address; return (ip, details) or (None, 'host not found').

    `details`: a dict with the host's "name", its other names "alias", and its addresses "ip". `address` may also be an
    IP address. A cancellation ends the wait at once. Raises TypeError if `address` is not a string. (gethostbyname(3))
    """
    return _host(_string(address), lambda name, ip: ip)


def tohostname(address: str) -> Operation[Resolved]:
    """Find a host's name; return (name, details) or (None, 'host not found'). Otherwise as toip()."""
    return _host(_string(address), lambda name, ip: name)


@call
def _host(address: str, wanted: Callable[[str, str], str]) -> Generator[Any, None, Resolved]:
    try:
        name, aliases, ips = yield from (_known(address) if current_scheduler().resolver is None else _found(address))
    except UnicodeError:
        return None, Message(NO_HOST)
    except OSError as error:
        return None, _host_message(error)
    return wanted(name, ips[0]), {"name": name, "alias": [*aliases], "ip": [*ips]}


def _known(address: str) -> Generator[Any, None, tuple[str, list[str], list[str]]]:
    """Ask the system for a host's name, other names and addresses."""
    find = socket.gethostbyname_ex if family_of(address) is None else socket.gethostbyaddr
    found: tuple[str, list[str], list[str]] = yield from look_up(
        f"lookup of {address!r}", find, (address,), (find, address)
    )
    return found


def _found(address: str) -> Generator[Any, None, tuple[str, list[str], list[str]]]:
    """Ask a custom resolver for the same."""
    family = family_of(address)
    if family is not None:
        sockaddr = (address, 0) if family == "inet" else (address, 0, 0, 0)
        name, _ = yield from answer_of(resolver().getnameinfo(sockaddr, socket.NI_NAMEREQD))
        return name, [], [address]
    asked = (address, None, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
    found = yield from answer_of(resolver().getaddrinfo(*asked))
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, NO_NAME)
    return found[0][3] or address, [], [*dict.fromkeys(sockaddr[0] for *_, sockaddr in found)]


def getaddrinfo(address: str) -> Operation[tuple[list[dict[str, str]] | None, Message | None]]:
    """Find a host's addresses; return ([{"family": "inet" or "inet6", "addr": ip}, ...], None) or (None, err).

    Otherwise as toip(). (getaddrinfo(3))
    """
    return _getaddrinfo(_string(address))


@call
def _getaddrinfo(address: str) -> Generator[Any, None, tuple[list[dict[str, str]] | None, Message | None]]:
    try:
        found = yield from _ask(address, None)
    except OSError as error:
        return None, message_of(error)
    return [{"family": _family(family), "addr": sockaddr[0]} for family, _, _, _, sockaddr in found], None


def getnameinfo(
    address: str | None, service: str | int | None = None
) -> Operation[tuple[list[str] | None, str | Message | None]]:
    """Find the names of a host's addresses and of a service; return (names, service or None) or (None, err).

    Raises TypeError if both are None. Otherwise as toip(). (getnameinfo(3))
    """
    if address is None and service is None:
        raise TypeError("host and serv cannot be both nil")
    if isinstance(service, bool) or not isinstance(service, (int, str, NoneType)):
        raise TypeError(f"a service must be a string or a port, not {service!r}")
    return _getnameinfo(
        None if address is None else _string(address), str(service) if isinstance(service, int) else service
    )


@call
def _getnameinfo(
    address: str | None, service: str | None
) -> Generator[Any, None, tuple[list[str] | None, str | Message | None]]:
    names: list[str] = []
    port = None
    flags = 0 if address is not None else socket.NI_NUMERICHOST  # no lookup for a name that nobody wants
    try:
        for _, _, _, _, sockaddr in (yield from _ask(address, service)):
            name, port = yield from answer_of(resolver().getnameinfo(sockaddr, flags))
            if address is not None:
                names.append(name)
    except OSError as error:
        return None, message_of(error)
    return names, port if service is not None else None


def _ask(address: str | None, service: str | None) -> Generator[Any, None, Any]:
    asked = (address, service, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, 0)
    try:
        return (yield from answer_of(resolver().getaddrinfo(*asked)))
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, NO_NAME) from None


def _host_message(error: OSError) -> Message:
    nobody = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}
    if isinstance(error, socket.herror):
        return Message(NO_HOST if error.errno == 1 else str(error.strerror), error.errno)  # HOST_NOT_FOUND
    return Message(NO_HOST, error.errno) if error.errno in nobody else message_of(error)


def _family(number: int) -> str:
    return "inet6" if number == socket.AF_INET6 else "inet"


def _string(address: str) -> str:
    if not isinstance(address, str):
        raise TypeError(f"an address must be a string, not {address!r}")
    return address
