"""From LuaSocket's addresses to those to try, in order. A name is looked up without holding up other threads."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any

from pollers import operation

from ..addr import Address, Query, resolve
from .messages import NO_NAME


def queries(host: str, port: int | str | None, type: str, family: str | None) -> list[Query]:
    """What to look up. `family` None: of any; the loopback interface then has an address in each.

    TypeError for what is no string or no port, OverflowError for a port that does not exist.
    """
    if not isinstance(host, str):
        raise TypeError(f"an address is a string, not {host!r}")
    if port is None:
        raise TypeError("a port is a number or a service's name, not None")
    families = ["inet", "inet6"] if family is None and host.lower() == "localhost" else [family]
    return [Query(host, port, type, family, None, ()) for family in families]


@operation
def look_up(asked: list[Query]) -> Generator[Any, None, list[Address]]:
    """Return the addresses. Raises OSError when there are none."""
    found: list[Address] = []
    for query in asked:
        try:
            found += yield from resolve(query)
        except UnicodeError:
            raise no_name() from None  # too long for a name, or for a part of one
    return found


def literal(ip: str, port: int | str, type: str, family: str | None) -> Address:
    """Return the address of an IP address and a port as numbers. OSError for a name, or one of another family."""
    if not isinstance(ip, str):
        raise TypeError(f"an address is a string, not {ip!r}")
    own = family_of(ip)
    asked = Query(ip, port, type, own, None, ("numerichost", "numericserv"))
    if own is None or own != (family or own) or not isinstance(asked.port, int):
        raise no_name()
    found = asked.at_once()
    assert found is not None
    return found[0]


def family_of(ip: str) -> str | None:
    """The family of a literal address, None for a name."""
    for family, number in (("inet", socket.AF_INET), ("inet6", socket.AF_INET6)):
        try:
            socket.inet_pton(number, ip.partition("%")[0])
        except OSError:
            continue
        return family
    return None


def no_name() -> OSError:
    return socket.gaierror(socket.EAI_NONAME, NO_NAME)
