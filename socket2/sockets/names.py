"""luapower socket2's names for families, types, protocols and lookup flags, and their numbers.

A family that the system lacks has no entry, so it is refused as unknown. A number without a name stays a number.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

FAMILIES: dict[str, int] = {
    name: int(getattr(socket, constant))
    for name, constant in (("inet", "AF_INET"), ("inet6", "AF_INET6"), ("unix", "AF_UNIX"))
    if hasattr(socket, constant)
}
TYPES: dict[str, int] = {
    "tcp": int(socket.SOCK_STREAM),
    "udp": int(socket.SOCK_DGRAM),
    "raw": int(socket.SOCK_RAW),
}
UNIX_TYPES: dict[str, int] = {"stream": int(socket.SOCK_STREAM), "dgram": int(socket.SOCK_DGRAM)}
PROTOCOLS: dict[str, int] = {
    "ip": 0,
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "ipv6": 41,
    "icmpv6": 58,
    "raw": 255,
}
_DEFAULT_PROTOCOL = {"tcp": "tcp", "udp": "udp", "raw": "raw"}
FLAGS: dict[str, int] = {
    "passive": int(socket.AI_PASSIVE),
    "cannonname": int(socket.AI_CANONNAME),
    "canonname": int(socket.AI_CANONNAME),
    "numerichost": int(socket.AI_NUMERICHOST),
    "numericserv": int(socket.AI_NUMERICSERV),
    "all": int(getattr(socket, "AI_ALL", 0)),
    "v4mapped": int(getattr(socket, "AI_V4MAPPED", 0)),
    "addrconfig": int(socket.AI_ADDRCONFIG),
}
# The flags of getnameinfo(3).
NAMEINFO_FLAGS: dict[str, int] = {
    "dgram": int(socket.NI_DGRAM),
    "namereqd": int(socket.NI_NAMEREQD),
    "nofqdn": int(socket.NI_NOFQDN),
    "numerichost": int(socket.NI_NUMERICHOST),
    "numericserv": int(socket.NI_NUMERICSERV),
}


def number(table: Mapping[str, int], name: str, what: str) -> int:
    """Return the number of `name`. Raises TypeError if it is not a string, ValueError if it is unknown."""
    if not isinstance(name, str):
        raise TypeError(f"the {what} must be a string, not {name!r}")
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}: expected one of {', '.join(table)}")
    return table[name]


def name_of(table: Mapping[str, int], value: int) -> str | int:
    """Return the first name that has this number, or the number if no name has it."""
    return next((name for name, known in table.items() if known == value), int(value))


def protocol_number(protocol: str | int | None, kind: str, family: str | None) -> int:
    """Return a protocol's number. None is the usual protocol of the type; for UNIX sockets that is 0."""
    if protocol is None:
        return 0 if family == "unix" else PROTOCOLS[_DEFAULT_PROTOCOL[kind]]
    if isinstance(protocol, int):
        return protocol
    return number(PROTOCOLS, protocol, "protocol")


def flag_bits(flags: str | Iterable[str], table: Mapping[str, int] = FLAGS) -> int:
    """Return the bits of flag names: an iterable of names, or a string with spaces between them."""
    bits = 0
    for flag in flags.split() if isinstance(flags, str) else flags:
        bits |= number(table, flag, "flag")
    return bits
