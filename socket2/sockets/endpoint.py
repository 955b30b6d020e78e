"""Makes a new socket that connects, listens or is bound, from a place given as text.

A place is "host:port", "[::1]:port", a UNIX path or an abstract name; its form alone tells which. This module does not
know how to connect: a socket connects to one address, and happy eyeballs choose among several.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Generator
from typing import Any, Literal, overload

import pollers
from pollers import Operation, operation

from ..threads.timers import duration
from .address import Address, AddressList, Host, Port, Query, check_host, resolve
from .eyeballs import connect_to_first
from .paths import MODE, Owner, PathRules, Unlink, bind_to_file, check_no_file, file_of
from .socket import make, place_of
from .tcp import TCP
from .udp import UDP

_PLACE = re.compile(r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^:\[\]]*)):(?P<port>[^:\[\]]+)")


def split(where: Host, port: Port = None) -> tuple[Host, Port, str | None]:
    """Return the host, port and family of a place: family "unix" for a path without a port, else None.

    Raises ValueError if the text is neither a path nor has a port.
    """
    if isinstance(where, os.PathLike):
        return os.fspath(where), 0, "unix"
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    if not isinstance(where, str):
        return where, port, None
    if port is not None:  # a name that came from the network must not lead to a UNIX socket
        return where.removeprefix("[").removesuffix("]"), port, None
    if where.startswith("@"):
        where = "\0" + where[1:]
    if where.startswith("\0") or "/" in where:
        return where, 0, "unix"
    match = _PLACE.fullmatch(where)
    if match is None:
        raise ValueError(f"{where!r} has no port: use 'host:port', '[::1]:port', or a path with a '/' in it")
    return match["literal"] or match["name"], match["port"], None


def connect_from(
    made_at: str, where: Host, port: Port, family: str | None, delay_s: float, options: dict[str, Any]
) -> Operation[TCP]:
    """Do what socket2.connect() does without TLS. `made_at`: the place that a ResourceWarning names."""
    host, port, found = split(where, port)
    if port is None and (host is None or host is False):
        raise ValueError("connect() needs a port: use 'host:port'")
    if host is None or host == "":
        host = False
    for name, value in options.items():
        pollers.option_call(name, value)
    return _connect(_queries(host, port, found or family), options, duration(delay_s), made_at)


def _queries(host: Host, port: Port, family: str | None) -> list[Query]:
    """Return what to look up. Servers may listen on the loopback address of either family, so both are tried."""
    both = family is None and (host is False or (isinstance(host, str) and host.lower() == "localhost"))
    families = ["inet6", "inet"] if both and socket.has_ipv6 else [family]
    return [Query(host, port, "stream" if family == "unix" else "tcp", family, None, ()) for family in families]


@operation
def _connect(queries: list[Query], options: dict[str, Any], delay_s: float, made_at: str) -> Generator[Any, None, TCP]:
    addresses: list[Address] = []
    for query in queries:
        addresses += yield from resolve(query)
    return (yield from connect_to_first(addresses, options, delay_s, made_at))


def listen_from(
    made_at: str, where: Host, port: Port, backlog: int | None, rules: PathRules, options: dict[str, Any]
) -> TCP:
    """Do what socket2.listen() does without TLS. `made_at`: the place that a ResourceWarning names."""
    sock, host, port = _made(where, port, "tcp", options, made_at)
    assert isinstance(sock, TCP)
    try:
        file = file_of(host, sock.family)
        if file is not None:
            bind_to_file(sock, file, rules, lambda: sock.listen(backlog=backlog))
        else:
            check_no_file(rules, where)
            sock.listen(host, port, backlog)
    except BaseException:
        sock.close()
        raise
    return sock


@overload
def bind(
    where: Host,
    port: Port = None,
    type: Literal["udp"] = "udp",
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    **options: Any,
) -> UDP: ...
@overload
def bind(
    where: Host,
    port: Port = None,
    *,
    type: Literal["tcp"],
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    **options: Any,
) -> TCP: ...
@overload
def bind(
    where: Host,
    port: Port,
    type: Literal["tcp"],
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    **options: Any,
) -> TCP: ...
def bind(
    where: Host,
    port: Port = None,
    type: str = "udp",
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    **options: Any,
) -> UDP | TCP:
    """Return a new socket that is bound: `with bind("0.0.0.0:5353") as sock:`. bind(2).

    `type`: "udp" for datagrams (also over UNIX sockets), or "tcp" for a socket that will connect from this address.
    `where`, `options`, and for a UNIX path `mode`, `owner` and `unlink`: as in listen(). Raises as listen() does, and
    ValueError if `type` is neither.
    """
    if type not in ("udp", "tcp"):
        raise ValueError(f"unknown type {type!r}: expected udp or tcp")
    rules = PathRules(mode, owner, unlink)
    sock, host, port = _made(where, port, type, options, place_of(sys._getframe(1)))
    try:
        file = file_of(host, sock.family)
        if file is not None:
            bind_to_file(sock, file, rules, lambda: None)
        else:
            check_no_file(rules, where)
            sock.bind(host, port)
    except BaseException:
        sock.close()
        raise
    return sock


def _made(where: Host, port: Port, type: str, options: dict[str, Any], made_at: str) -> tuple[TCP | UDP, Host, Port]:
    """Make a socket of the family that the place has, and set its options."""
    host, port, family = split(where, port)
    if isinstance(host, Address) or (isinstance(host, AddressList) and host):
        family = host.family
    elif family is None:
        name = host[0] if isinstance(host, tuple) and host else host
        check_host(None if isinstance(host, tuple) else host)
        family = "inet6" if isinstance(name, str) and ":" in name else "inet"
    made = make(family, type, None, None)
    sock = TCP(made, None, made_at) if type == "tcp" else UDP(made, made_at)
    try:
        for option, value in options.items():
            sock.setopt(option, value)
    except BaseException:
        sock.close()
        raise
    return sock, host, port
