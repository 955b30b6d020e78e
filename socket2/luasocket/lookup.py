"""From LuaSocket's addresses to socket2's, in the order to try them. A lookup does not delay other threads."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any, TypeAlias

from pollers import operation

from ..sockets.address import Address, Query, resolve
from .messages import NO_NAME, NO_SERVICE

Asked: TypeAlias = "list[Query] | OSError"
"""What to look up, or the error to report if there can be no such name or port."""


def queries(host: str, port: int | str | None, type: str, family: str | None) -> Asked:
    """Return what to look up. `family` None: any family; the loopback interface then has an address in each.

    Raises TypeError if the host is not a string or the port is not valid.
    """
    check_place(host, port)
    families = ["inet", "inet6"] if family is None and host.lower() == "localhost" else [family]
    if not host:
        return no_name()
    try:
        return [Query(host, port, type, family, None, ()) for family in families]
    except OverflowError:
        return no_service()
    except UnicodeError:
        return no_name()  # a name, or a part of it, that is too long


def check_place(host: str, port: int | str | None) -> None:
    """Raise TypeError if the host is not a string, or the port is neither a number nor a string."""
    if not isinstance(host, str):
        raise TypeError(f"an address must be a string, not {host!r}")
    if isinstance(port, bool) or not isinstance(port, (int, str)):
        raise TypeError(f"a port must be a number or a service name, not {port!r}")


@operation
def look_up(asked: Asked) -> Generator[Any, None, list[Address]]:
    """Return the addresses. Raises OSError if there are none."""
    if isinstance(asked, OSError):
        raise asked
    found: list[Address] = []
    for query in asked:
        found += yield from resolve(query)
    return found


def literal(ip: str, port: int | str, type: str, family: str | None) -> Address:
    """Return the address of a literal IP and port. Raises OSError for a name, or for an address of another family."""
    own = family_of(ip)
    if own is None:
        raise no_name()
    try:
        asked = Query(ip, port, type, family or own, None, ("numerichost", "numericserv"))
    except OverflowError:
        raise no_service() from None
    if not isinstance(asked.port, int):
        raise no_name()
    found = asked.at_once()
    assert found is not None
    return found[0]


def family_of(ip: str) -> str | None:
    """Return the family of a literal address, None for a name."""
    for family, number in (("inet", socket.AF_INET), ("inet6", socket.AF_INET6)):
        try:
            socket.inet_pton(number, ip.partition("%")[0])
        except OSError:
            continue
        return family
    return None


def no_name() -> OSError:
    return socket.gaierror(socket.EAI_NONAME, NO_NAME)


def no_service() -> OSError:
    """A port out of range: to getaddrinfo(3) a number is just a way to write a service."""
    return socket.gaierror(socket.EAI_SERVICE, NO_SERVICE)
