"""Addresses: from a host and a port to the form that the kernel takes, and back to text.

A literal address is resolved immediately. The scheduler's resolver looks up a name. The system's resolver may block for
any length of time, so it runs in an OS thread. "localhost" always means the loopback address (RFC 6761, 6.3). This
module knows nothing of sockets.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias, overload

from pollers import Operation, operation

from ..threads.osthreads import answer_of, resolver
from ..threads.resolver import AddressInfo
from ..threads.thread import over_at_once
from . import names
from .hostnames import ascii_name

Host: TypeAlias = "str | bytes | bool | os.PathLike[str] | tuple[Any, ...] | AddressList | Address | None"
Port: TypeAlias = "int | str | None"

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | str | bytes
"""A socket address in the standard library's form: (host, port), IPv6 (host, port, flow, scope), or a UNIX path."""

_ANY = {"inet": "0.0.0.0", "inet6": "::"}
_LOOPBACK = {"inet": "127.0.0.1", "inet6": "::1"}


@dataclass(frozen=True, slots=True)
class Address:
    """One address, as addr() returns it."""

    family: str
    """"inet", "inet6" or "unix"."""
    type: str
    """"tcp", "udp" or "raw"; for a UNIX socket, "stream" or "dgram"."""
    protocol: str | int
    """The name of the protocol, or its number if socket2 has no name for it."""
    name: str | None
    """The canonical name, if the lookup asked for it."""
    sockaddr: Any
    """The address in the form of the standard library and the kernel."""

    @property
    def host(self) -> str:
        """The literal IP address, or the path of a UNIX socket."""
        return format_address(self.sockaddr) if self.family == "unix" else str(self.sockaddr[0])

    @property
    def port(self) -> int:
        """The port; 0 for a UNIX path."""
        return 0 if self.family == "unix" else int(self.sockaddr[1])

    def __str__(self) -> str:
        return format_address(self.sockaddr)


def format_address(address: SocketAddress) -> str:
    """Return an address of the standard library's form as text, for people: "127.0.0.1:80", "[::1]:80", "/run/app".

    Only the IP address if the port is 0; "@name" for an abstract UNIX name. An interface is shown by its name:
    "[fe80::1%eth0]:80". `address`: what `local_address`, `remote_address`, `addresses` and recvfrom() give. For an
    Address use str().
    """
    if isinstance(address, bytes):
        address = address.decode(errors="surrogateescape")
    if isinstance(address, str):
        return "@" + address[1:] if address.startswith("\0") else address
    host, port = address[0], address[1]
    if len(address) > 3 and address[3] and "%" not in host:
        host = f"{host}%{_scope(address[3])}"
    if not port:
        return str(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _scope(index: int) -> str:
    """Return the name of an interface, or its number if it has no name (any more)."""
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return str(index)


class AddressList(Sequence[Address]):
    """The addresses that a lookup found, in the order to try them. Its attributes are those of the first address."""

    __slots__ = ("_addresses",)

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses = tuple(addresses)

    @property
    def type(self) -> str:
        return self[0].type

    @property
    def family(self) -> str:
        return self[0].family

    @property
    def protocol(self) -> str | int:
        return self[0].protocol

    @property
    def name(self) -> str | None:
        return self[0].name

    def next(self, current: Address | None = None) -> Address | None:
        """Return the address after `current`, or None if there is none; without `current`, return the first.

        Raises ValueError if `current` is not in the list.
        """
        if current is None:
            return self._addresses[0] if self._addresses else None
        at = self._addresses.index(current) + 1
        return self._addresses[at] if at < len(self._addresses) else None

    def addrs(self) -> Iterator[Address]:
        """Iterate over the addresses."""
        return iter(self._addresses)

    def free(self) -> None:
        """Empty the list. Not needed in Python; safe to call again."""
        self._addresses = ()

    @overload
    def __getitem__(self, index: int) -> Address: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Address]: ...
    def __getitem__(self, index: int | slice) -> Address | Sequence[Address]:
        return self._addresses[index]

    def __len__(self) -> int:
        return len(self._addresses)

    def __str__(self) -> str:
        return str(self._addresses[0]) if self._addresses else ""

    def __repr__(self) -> str:
        return f"AddressList({', '.join(map(str, self._addresses))})"


class Query:
    """A request for addresses. The constructor checks it; at_once() resolves it if that takes no lookup."""

    def __init__(
        self,
        host: Host,
        port: Port,
        type: str,
        family: str | None,
        protocol: str | int | None,
        flags: str | Iterable[str],
    ) -> None:
        self.family = family
        self.type = type
        if family == "unix":
            type = {"stream": "tcp", "dgram": "udp"}.get(type, type)
        self._family = 0 if family is None else names.number(names.FAMILIES, family, "family")
        self._type = names.number(names.TYPES, type, "type")
        self._protocol = names.protocol_number(protocol, type, family)
        self._flags = names.flag_bits(flags)
        if isinstance(host, AddressList) and not host:
            raise ValueError("the list of addresses is empty")
        if isinstance(host, tuple):
            host, port = _of_sockaddr(host)
        if isinstance(host, bytes) and family != "unix":
            host = host.decode("ascii")
        self.port = _checked_port(port)
        self.host = host = os.fspath(host) if family == "unix" and isinstance(host, os.PathLike) else host
        check_host(host)
        if family != "unix" and isinstance(host, str):
            if "\0" in host:
                raise ValueError("a host name must not contain NUL")
            self.host = _checked_name(host)

    def at_once(self) -> AddressList | None:
        """Return the addresses if no lookup is needed, else None."""
        host = self.host
        if isinstance(host, AddressList):
            return host
        if isinstance(host, Address):
            return AddressList([host])
        if self.family == "unix":
            if host is None or host is False:
                raise ValueError("the address of a UNIX socket must be a path")
            return AddressList([Address("unix", self.type, 0, None, host)])
        literal = self._literal(host)
        try:
            return self._ask(literal, socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
        except socket.gaierror:
            if self._flags & socket.AI_NUMERICHOST and isinstance(self.port, int):
                raise
            return None

    def look_up(self) -> AddressList:
        """Ask the system, and block until it answers: getaddrinfo(3). Raises socket.gaierror."""
        return self._ask(self._literal(self.host), 0)

    def _literal(self, host: Any) -> Any:
        family = self.family or "inet"
        if host is None or host in ("*", ""):
            return _ANY[family]
        if host == "<broadcast>" and family == "inet":  # as in the standard library
            return "255.255.255.255"
        local = host is False or host.lower() == "localhost"
        if local and not (host and self._flags & socket.AI_CANONNAME):
            return _LOOPBACK[family]
        return host

    def question(self) -> tuple[Any, ...]:
        """Return the arguments for a resolver's getaddrinfo()."""
        return self._question(self._literal(self.host), 0)

    def _question(self, host: Any, flags: int) -> tuple[Any, ...]:
        port = None if self._type == socket.SOCK_RAW else self.port  # only UDP and TCP have ports
        return host, port, self._family, self._type, self._protocol, self._flags | flags

    def _ask(self, host: Any, flags: int) -> AddressList:
        return self.answer(socket.getaddrinfo(*self._question(host, flags)))

    def answer(self, found: Sequence[AddressInfo]) -> AddressList:
        """Return the addresses that were found. Raises socket.gaierror if there are none."""
        if not found:  # getaddrinfo(3) never returns an empty list, but a custom resolver may
            raise socket.gaierror(socket.EAI_NONAME, f"{self.host!r} has no address")
        kinds = names.TYPES
        return AddressList(
            Address(
                str(names.name_of(names.FAMILIES, family)),
                str(names.name_of(kinds, kind)),
                names.name_of(names.PROTOCOLS, protocol),
                name or None,
                sockaddr,
            )
            for family, kind, protocol, name, sockaddr in found
        )


def check_host(host: object) -> None:
    """Raise TypeError if `host` is none of the kinds that Host names, of which a tuple and a path are converted."""
    if not isinstance(host, (str, bytes, NoneType, AddressList, Address)) and host is not False:
        raise TypeError(f"a host must be a string, None, False or an AddressList, not {host!r}")


def _of_sockaddr(address: tuple[Any, ...]) -> tuple[Any, Any]:
    """Split an address of the standard library: (host, port) or (host, port, flow, scope)."""
    if len(address) not in (2, 4):
        raise TypeError(f"an address must be (host, port) or (host, port, flow, scope), not {address!r}")
    host, port = address[:2]
    if len(address) == 4 and address[3] and "%" not in host:
        host = f"{host}%{address[3]}"
    return host, port


def _checked_name(host: str) -> str:
    """Return the name in ASCII. Raises UnicodeError if there can be no such name, for example with an empty label."""
    name = ascii_name(host)
    if name not in ("", "*", "<broadcast>"):
        try:
            name.encode("idna")  # as getaddrinfo() does
        except UnicodeError as error:
            raise UnicodeError(f"{host!r} is not a valid host name: {error}") from None
    return name


def _checked_port(port: Port) -> int | str:
    if port is None:
        return 0
    if isinstance(port, str):
        if not port.removeprefix("-").isdecimal():
            return port
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"a port must be a number or a service name, not {port!r}")
    if not 0 <= port <= 65535:
        raise OverflowError(f"a port must be from 0 to 65535, not {port}")
    return port


def addr(
    host: Host = None,
    port: Port = 0,
    type: str = "tcp",
    family: str | None = "inet",
    protocol: str | int | None = None,
    flags: str | Iterable[str] = (),
) -> Operation[AddressList]:
    """Find the addresses of a host and a port: `addresses = yield from addr("example.org", "http")`.

    `host`: None or "*" for any interface, False for loopback, a name, a literal address, or a path if `family` is
    "unix". An AddressList is returned unchanged, and an address tuple of the standard library is accepted. `port`: a
    number, a service name, or None for 0. `type`: "tcp", "udp" or "raw". `family`: "inet", "inet6", "unix", or None for
    every family that the name has. `flags`: any of passive, canonname, numerichost, numericserv, all, v4mapped,
    addrconfig (getaddrinfo(3)).

    A literal address takes no time. The resolver given to run() looks up names. By default at most 16 OS threads do
    that, and threads that ask for the same name at the same time share one lookup. A cancellation or timeout ends the
    wait at once, drops the answer, and frees the place among the 16. Raises socket.gaierror if there is no answer.
    Raises TypeError, ValueError (also if the host cannot be a name) or OverflowError (port out of range) before any
    lookup. (luapower's addr)
    """
    return resolve(Query(host, port, type, family, protocol, flags))


@operation
def resolve(query: Query) -> Generator[Any, None, AddressList]:
    """Resolve a query. The scheduler's resolver is asked only if a lookup is needed."""
    if (turn := over_at_once()) is not None:
        yield from turn.wait()
    found = query.at_once()
    if found is not None:
        return found
    return query.answer((yield from answer_of(resolver().getaddrinfo(*query.question()))))
