"""Reverse lookup: from an address to the names of its host and its service. The opposite of `address`."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterable
from typing import Any

from pollers import Operation, operation

from ..threads.osthreads import answer_of, resolver
from ..threads.thread import over_at_once
from . import names
from .address import Address, AddressList, Query, SocketAddress

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def getnameinfo(
    where: Address | AddressList | SocketAddress, flags: str | Iterable[str] = ()
) -> Operation[tuple[str, str]]:
    """Find the names of an address: `host, service = yield from getnameinfo(sock.remote_address)`. getnameinfo(3).

    `where`: an address of the standard library, (host, port) or (host, port, flow, scope), with a literal IP address;
    or a result of addr(), of which the first address is taken. `flags`: any of numerichost, numericserv (return the
    number instead of a name), namereqd (raise socket.gaierror if the host has no name; otherwise its IP address is
    returned), nofqdn (only the first part of the name of a host in this domain), dgram (the service of UDP; this is the
    default for an address of type "udp").

    The resolver given to run() looks up the names, by default the system in an OS thread, as for addr(). With
    numerichost and numericserv there is no lookup. A cancellation or timeout ends the wait at once and drops the
    answer. Raises socket.gaierror if there is no answer; ValueError for a UNIX path or the name of a host, TypeError if
    `where` is no address, OverflowError if the port is out of range.
    """
    bits = names.flag_bits(flags, names.NAMEINFO_FLAGS)
    if isinstance(where, (Address, AddressList)):
        if isinstance(where, AddressList) and not where:
            raise ValueError("the list of addresses is empty")
        first = where if isinstance(where, Address) else where[0]
        bits |= socket.NI_DGRAM if first.type == "udp" else 0
        return _getnameinfo(_internet(first), bits)
    if isinstance(where, (str, bytes)):
        raise ValueError(f"a UNIX path has no name, and an address is (host, port): {where!r}")
    if not isinstance(where, tuple):
        raise TypeError(f"expected an address such as (host, port), not {where!r}")
    return _getnameinfo(_literal(where), bits)


def _internet(address: Address) -> Any:
    if address.family == "unix":
        raise ValueError(f"a UNIX path has no name: {address}")
    return address.sockaddr


def _literal(where: tuple[Any, ...]) -> Any:
    """Return a numeric address in the standard library's form. Raises as getnameinfo() does."""
    if not where or not isinstance(where[0], str) or not isinstance(where[-1], int):
        raise TypeError(f"expected an address such as ('192.0.2.1', 80), not {where!r}")
    query = Query(where, None, "tcp", None, None, ("numerichost", "numericserv"))
    if not any(_is_literal(family, where[0]) for family in (socket.AF_INET, socket.AF_INET6)):
        raise ValueError(f"{where[0]!r} is not a literal IP address")
    return query.look_up()[0].sockaddr


def _is_literal(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except OSError:
        return False
    return True


@operation
def _getnameinfo(sockaddr: Any, bits: int) -> Generator[Any, None, tuple[str, str]]:
    if (turn := over_at_once()) is not None:
        yield from turn.wait()
    if bits & _NUMERIC == _NUMERIC:
        return socket.getnameinfo(sockaddr, bits)
    host, service = yield from answer_of(resolver().getnameinfo(sockaddr, bits))
    return host, service
