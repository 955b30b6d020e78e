"""Shortcuts: a server or a client in one call."""

from __future__ import annotations

import sys
from collections.abc import Generator
from types import NoneType
from typing import Any

import pollers
from pollers import Operation

from ..sockets.address import Address
from ..sockets.socket import place_of
from .bytestream import backlog_of
from .calls import call
from .lookup import Asked, check_place, look_up, queries
from .messages import Message, message_of
from .tcp import TCP

Made = tuple[TCP | None, Message | None]
"""(object, None) or (None, err)."""

_FAMILIES = {None: None, "unspec": None, "inet": "inet", "inet4": "inet", "inet6": "inet6"}


def bind(address: str, port: int | str, backlog: int | None = None) -> Operation[Made]:
    """Make a server at `address` ("*": any IPv4 interface) and `port`; return (server, None) or (None, err).

    Of a name's addresses, the first that works is used. An address is free even if old connections still linger on it,
    but not while another socket uses it. `err` is the error of the last address. A cancellation leaves no socket
    behind. Raises TypeError if an argument is invalid.
    """
    asked = queries("0.0.0.0" if address == "*" else address, port, "tcp", None)
    return _bind(asked, backlog_of(backlog), place_of(sys._getframe(1)))


@call
def _bind(asked: Asked, backlog: int, made_at: str) -> Generator[Any, None, Made]:
    err = None
    try:
        for address in (yield from look_up(asked)):
            server = TCP(address.family, "master", made_at)
            try:
                _listen(server, address, backlog)
            except OSError as error:
                server.close()
                err = message_of(error)
            else:
                return server, None
    except OSError as error:
        err = message_of(error)
    return None, err


def _listen(server: TCP, address: Address, backlog: int) -> None:
    if address.family == "inet6":
        server._options["ipv6-v6only"] = True
    sock = server._open(address.family)
    pollers.prepare_listener(sock.std)
    server._bind_to(address)
    sock.std.listen(backlog)
    server._class = "server"


def connect(
    address: str,
    port: int | str,
    locaddr: str | None = None,
    locport: int | str | None = None,
    family: str | None = None,
) -> Operation[Made]:
    """Make a client that is connected to `address` and `port`; return (client, None) or (None, err).

    `locaddr`, `locport`: bind it to these first. `family`: "inet" or "inet6" to use only such addresses. The addresses
    of a name are tried in turn; `err` is the error of the last one. A cancellation leaves no socket behind. Raises
    TypeError or ValueError if an argument is invalid.
    """
    return _client(address, port, locaddr, locport, family, place_of(sys._getframe(1)))


def connect4(
    address: str, port: int | str, locaddr: str | None = None, locport: int | str | None = None
) -> Operation[Made]:
    """Connect as connect() does, but to IPv4 addresses only."""
    return _client(address, port, locaddr, locport, "inet", place_of(sys._getframe(1)))


def connect6(
    address: str, port: int | str, locaddr: str | None = None, locport: int | str | None = None
) -> Operation[Made]:
    """Connect as connect() does, but to IPv6 addresses only."""
    return _client(address, port, locaddr, locport, "inet6", place_of(sys._getframe(1)))


def _client(
    address: str, port: int | str, locaddr: str | None, locport: int | str | None, family: str | None, made_at: str
) -> Operation[Made]:
    if not isinstance(family, (str, NoneType)):
        raise TypeError(f"string expected, got {type(family).__name__}")
    if family not in _FAMILIES:
        raise ValueError(f"invalid option {family!r}: expected one of inet, inet6, unspec")
    family = _FAMILIES[family]
    local = None if locaddr is None else queries(locaddr, 0 if locport is None else locport, "tcp", family)
    check_place(address, port)
    return _connect(TCP(family, "client", made_at), local, address, port)


@call
def _connect(client: TCP, local: Asked | None, address: str, port: int | str) -> Generator[Any, None, Made]:
    try:
        done, err = (1, None) if local is None else (yield from client._bind(local))
        if done:
            done, err = yield from client._connect(client._asked(address, port))  # of the family that it is bound in
    except BaseException:
        client.close()
        raise
    if not done:
        client.close()
        return None, err
    return client, None
