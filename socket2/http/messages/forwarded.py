"""What proxies write about the requests that they pass on: Forwarded (RFC 7239) and X-Forwarded-*.

Each proxy adds an element at the right end, so the elements are read from there. Whatever is further left than the
first proxy that is trusted may be made up. This module only reads; it does not know whom to trust.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .fields import Fields
from .target import is_host

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)")')
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?").fullmatch

Address = tuple[str, int] | tuple[str, int, int, int]


class Hop(NamedTuple):
    """What one proxy says of the request that it has got. `client`: None if it does not say, or not in an address."""

    client: Address | None
    scheme: str | None = None
    host: bytes | None = None


def address_of(node: str) -> Address | None:
    """Return the address of a client in the form of the standard library, with port 0 if there is none."""
    import ipaddress  # only a few servers need it

    found = _NODE(node)
    host, port = (found[1] or found[2], int(found[3] or 0)) if found else (node, 0)
    try:
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
    except ValueError:
        return None
    if port > 65535 or getattr(address, "scope_id", None):
        return None
    return (str(address), port) if address.version == 4 else (str(address), port, 0, 0)


def hops_of_forwarded(fields: Fields) -> list[Hop]:
    """Return what Forwarded says, the latest hop first. A malformed field ends it: what is further left is unknown."""
    hops: list[Hop] = []
    for value in reversed(fields.get_all("forwarded")):
        elements = _elements(value)
        if elements is None:
            break
        hops += [
            Hop(address_of(pairs.get("for", "")), _scheme(pairs.get("proto", "")), _host(pairs.get("host", "")))
            for pairs in reversed(elements)
        ]
    return hops


def _elements(value: str) -> list[dict[str, str]] | None:
    """Return the elements of one field, each with its parameters; None if it is malformed."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while True:
        found = _PAIR.match(value, at)
        if found is not None:
            name = found[1].lower()
            if name in elements[-1]:
                return None
            elements[-1][name] = found[2] if found[3] is None else re.sub(r"\\(.)", r"\1", found[3])
            at = found.end()
        rest = value[at:].lstrip(" \t")
        if not rest:
            return elements
        if rest[0] not in ",;":
            return None
        if rest[0] == ",":
            elements.append({})
        at = len(value) - len(rest[1:].lstrip(" \t"))


def hops_of_x_forwarded(fields: Fields, names: frozenset[str]) -> list[Hop]:
    """Return what X-Forwarded-For and its like say, the latest hop first. `names`: which of them to read."""
    clients, schemes, hosts = (
        [part.strip() for part in ",".join(fields.get_all(name)).split(",")][::-1] if name in names else []
        for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
    )
    if clients == [""]:
        clients = []
    return [
        Hop(address_of(client), _scheme(_at(schemes, index)), _host(_at(hosts, index)))
        for index, client in enumerate(clients)
    ]


def _at(values: list[str], index: int) -> str:
    """Return the value of a hop. Many proxies replace the field instead of adding to it; then the last value counts."""
    return values[min(index, len(values) - 1)] if values else ""


def _scheme(text: str) -> str | None:
    lowered = text.lower()
    return lowered if lowered in ("http", "https") else None


def _host(text: str) -> bytes | None:
    octets = text.encode("latin-1")
    return octets if octets and is_host(octets) else None
