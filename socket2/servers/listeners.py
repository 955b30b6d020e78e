"""The listening sockets of a server: one for each address of a host, all on one port.

IPv6 sockets do not take IPv4 connections (IPV6_V6ONLY). So the two never compete for a port, and all systems behave
alike. This module knows nothing of accepting.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pollers
from pollers import Closed, operation

from ..sockets.address import Address, AddressList, Host, Port, Query, format_address, resolve
from ..sockets.endpoint import split
from ..sockets.paths import PathRules, bind_to_file, check_no_file, file_of
from ..sockets.tcp import TCP, tcp
from ..sockets.udp import unix
from ..threads.loop import run
from ..threads.resolver import Resolver

_NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # the errors of a family that this system or interface lacks

# A port that is free in one family may be in use in the other. This is how many ports are tried.
_PORTS_TRIED = 32


def queries_of(host: Host, port: Port) -> list[Query]:
    """Return what to look up for a server's place: "any interface" and loopback have addresses in both families."""
    host, port, family = _split(host, port)
    if family is not None:
        return [Query(host, port, "stream", family, None, ())]
    both = host is None or host is False or (isinstance(host, str) and host.lower() in ("", "*", "localhost"))
    return [Query(host, port, "tcp", family, None, ()) for family in (("inet", "inet6") if both else (None,))]


def _split(host: Host, port: Port) -> tuple[Host, Port, str | None]:
    """Split a place as endpoint.split() does; in addition, a host such as "::1" may have no port."""
    if port or not isinstance(host, (str, bytes, os.PathLike)):
        return host, port, None
    try:
        return split(host)
    except ValueError:
        return (host.removeprefix("[").removesuffix("]") if isinstance(host, str) else host), port, None


@operation
def listen_at(
    queries: list[Query], backlog: int | None, reuse_port: bool, nodelay: bool, rules: PathRules
) -> Generator[Any, None, list[TCP]]:
    """Return a listening socket for each address of a host. `queries`: from queries_of(). Raises OSError."""
    answers = []
    for query in queries:
        addresses = yield from resolve(query)
        answers.append(addresses)
    bound = bind(answers, reuse_port, rules)
    for sock in bound:
        if not nodelay and sock.family != "unix":
            sock.setopt("nodelay", False)
    return listen(bound, backlog)


def listen_before_forks(
    queries: list[Query], backlog: int | None, reuse_port: bool, rules: PathRules, resolver: Resolver | None
) -> list[TCP]:
    """Return a listening socket for each address of a host, as listen_at() does, where no loop runs.

    A lookup blocks. Without a `resolver` it needs no OS thread, which a process that forks must not have. Raises
    OSError.
    """
    answers = []
    for query in queries:
        found = query.at_once()
        if found is None:
            found = query.look_up() if resolver is None else run(resolve, query, resolver=resolver)
        answers.append(found)
    return listen(bind(answers, reuse_port, rules), backlog)


def listen(bound: list[TCP], backlog: int | None) -> list[TCP]:
    """Make bound sockets listen. Raises OSError, also if another socket began to listen there; then all are closed."""
    try:
        for sock in bound:
            sock.listen(backlog=backlog)
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def bind(answers: Sequence[AddressList], reuse_port: bool, rules: PathRules) -> list[TCP]:
    """Return a socket for each address, bound but not listening yet. Port 0 becomes the same free port for all.

    At a UNIX path it listens at once, because other programs take a socket that does not listen for a dead server's. Of
    several answers, those of a family that this machine lacks are skipped. Raises OSError; then nothing is bound.
    """
    for _ in range(_PORTS_TRIED - 1):
        try:
            return _bind(answers, reuse_port, rules)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or answers[0][0].port or answers[0][0].family == "unix":
                raise
    return _bind(answers, reuse_port, rules)


def _bind(answers: Sequence[AddressList], reuse_port: bool, rules: PathRules) -> list[TCP]:
    bound: dict[Any, TCP] = {}
    port = answers[0][0].port
    try:
        for at, answer in enumerate(answers, 1):
            try:
                for address in answer:
                    if address.sockaddr in bound:  # a lookup may return an address twice
                        continue
                    sock = bound[address.sockaddr] = _bind_to(_at_port(address, port), reuse_port, rules)
                    if port:
                        continue  # see threads/lock.py
                    port = _port_of(sock)
            except OSError as error:
                last = at == len(answers) and not bound
                if last or len(answers) == 1 or error.errno not in _NOT_HERE:
                    raise
    except BaseException:
        for sock in bound.values():
            sock.close()
        raise
    return list(bound.values())


def _bind_to(address: Address, reuse_port: bool, rules: PathRules) -> TCP:
    sock = unix() if address.family == "unix" else tcp(address.family)
    try:
        file = file_of(address, None)
        if file is not None:
            bind_to_file(sock, file, rules, sock.listen)
            return sock
        check_no_file(rules, str(address))
        pollers.prepare_listener(sock.std)
        if address.family == "inet6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port and address.family != "unix":
            sock.setopt("reuseport", True)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _port_of(sock: TCP) -> int:
    return 0 if sock.family == "unix" else int(sock.getsockname()[1])


def _at_port(address: Address, port: int) -> Address:
    if address.family == "unix":
        return address
    return replace(address, sockaddr=(address.sockaddr[0], port, *address.sockaddr[2:]))


def check_listener(listener: TCP | socket.socket) -> None:
    """Raise TypeError if this is not a stream socket, Closed if it is closed, ValueError if it is not listening."""
    ours = isinstance(listener, TCP)
    std = listener.std if isinstance(listener, TCP) else listener
    # A TLS socket, for example, has state beyond the kernel's socket, which would be lost.
    if not ours and (not isinstance(std, socket.socket) or hasattr(std, "unwrap")):
        raise TypeError(f"a server accepts only on TCP or UNIX stream sockets, not on {listener!r}")
    if std.fileno() < 0:
        raise Closed
    if std.type != socket.SOCK_STREAM:
        raise TypeError(f"a server accepts only on TCP or UNIX stream sockets, not on {listener!r}")
    if not std.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError(f"{listener!r} is not listening")


def adopt_listener(listener: TCP | socket.socket) -> TCP:
    """Return the listener as a TCP object, which owns the descriptor. Raises as check_listener() does."""
    check_listener(listener)
    return listener if isinstance(listener, TCP) else tcp(fileno=listener.detach())


def where(addresses: Iterable[Any]) -> str:
    """Return the addresses of a server as text."""
    return ", ".join(map(format_address, addresses))
