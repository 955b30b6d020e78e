"""Datagram sockets: UDP, UNIX datagram sockets, and raw sockets, which behave alike."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, overload

from pollers import Operation, operation

from ..threads.sleeping import persist
from . import names
from .address import AddressList, Host, Port, Query, resolve
from .socket import AGAIN_MAX_S, AGAIN_S, Socket, check_octets, make, place_of, sockaddr_of
from .tcp import TCP

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class UDP(Socket):
    """A datagram socket. Made by udp() and unix("dgram").

    Datagrams may be empty. Several threads may receive, and several may send: they take turns. A datagram that was
    refused by its receiver's system is reported as ConnectionRefusedError on a connected socket, by whatever operation
    comes next; the socket is well.
    """

    __slots__ = ()

    def __init__(self, sock: socket.socket, made_at: str = "") -> None:
        super().__init__(sock, None, made_at)

    def _receive(self, op: Operation[Any]) -> Operation[Any]:
        return self.limit_read(self._set_up().receivers.through("turn to receive", op))

    def recv(self, n: int) -> Operation[bytes]:
        """Receive a datagram, cut at `n` bytes. recv(2).

        Cancelled or out of time: nothing was taken. Raises Closed, TimeoutError, ConnectionRefusedError.
        """
        return self._receive(self._first((self._handle or self._attach()).recvfrom(n, self)))

    @operation
    def _first(self, op: Operation[tuple[Any, Any]]) -> Generator[Any, None, Any]:
        return (yield from op)[0]

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive a datagram into `buffer`, cut at `n` bytes or its length; return its length there. As recv()."""
        return self._receive(self._first((self._handle or self._attach()).recvfrom_into(buffer, n or 0, self)))

    def recvfrom(self, n: int) -> Operation[tuple[bytes, Any]]:
        """Receive a datagram, cut at `n` bytes, and its sender's address, as the standard library has it. As recv()."""
        return self._receive((self._handle or self._attach()).recvfrom(n, self))

    def recvfrom_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[tuple[int, Any]]:
        """Receive a datagram into `buffer`; return its length there and its sender's address. As recv()."""
        return self._receive((self._handle or self._attach()).recvfrom_into(buffer, n or 0, self))

    def send(self, data: ReadableBuffer, host: Host = None, port: Port = 0) -> Operation[int]:
        """Send a datagram, on a connected socket to its peer, else to `host` and `port`; return its length. sendto(2).

        `host`: see addr(); an address as recvfrom() returns it is the quickest. Cancelled or out of time: nothing was
        sent. Raises OSError (too long: EMSGSIZE; no peer: EDESTADDRREQ), socket.gaierror, Closed, TimeoutError.
        """
        check_octets(data)
        if host is None:
            handle = self._handle or self._attach()
            return self.limit_write(self._set_up().senders.through("turn to send", handle.send(data, self)))
        return self.sendto(data, host, port)

    def sendto(self, data: ReadableBuffer, host: Host, port: Port = 0) -> Operation[int]:
        """Send a datagram to an address and return its length: send() with somewhere to go. sendto(2)."""
        check_octets(data)
        if isinstance(host, tuple) and self._is_numeric(host):
            op = (self._handle or self._attach()).sendto(data, host, self)
        else:
            op = self._sendto(data, self._query(host, port))
        return self.limit_write(self._set_up().senders.through("turn to send", op))

    @operation
    def _sendto(self, data: ReadableBuffer, query: Query) -> Generator[Any, None, int]:
        addresses = yield from resolve(query)
        handle = self._handle or self._attach()
        sending = functools.partial(handle.sendto, data, sockaddr_of(self, addresses[0]), self)
        return (yield from persist(sending, AGAIN_S, AGAIN_MAX_S))

    def _is_numeric(self, address: tuple[Any, ...]) -> bool:
        """Whether the kernel takes this address as it is: given a name, sendto() would look it up, and block."""
        try:
            socket.inet_pton(self.std.family, address[0].partition("%")[0])
        except (OSError, AttributeError, TypeError, IndexError):
            return False
        return len(address) > 1

    def connect(self, host: Host, port: Port = 0) -> Operation[None]:
        """Fix the peer: send() goes there, and only its datagrams are received. May be done again. connect(2).

        Cancelled or out of time: the peer is who it was. Raises OSError, socket.gaierror, Closed, TimeoutError.
        """
        connecting = self._connect(self._query(host, port))
        return self.limit_write(self._set_up().senders.through("turn to connect", connecting))

    @operation
    def _connect(self, query: Query) -> Generator[Any, None, None]:
        addresses: AddressList = yield from resolve(query)
        handle = self._handle or self._attach()
        for at, address in enumerate(addresses, 1):
            try:
                return (yield from handle.connect(sockaddr_of(self, address), self))
            except OSError:
                if at == len(addresses):
                    raise


class RAW(UDP):
    """A raw socket: whole packets of one protocol. Made by raw()."""

    __slots__ = ()


def udp(family: str = "inet", protocol: str | int | None = None, *, fileno: int | None = None) -> UDP:
    """Make a UDP socket of the family "inet" or "inet6"; or take over the open descriptor `fileno`. Raises as tcp()."""
    return UDP(make(family, "udp", protocol, fileno), place_of(sys._getframe(1)))


def raw(family: str = "inet", protocol: str | int | None = None, *, fileno: int | None = None) -> RAW:
    """Make a raw socket: raw("inet", "icmp"). PermissionError without the right to, else as tcp(). raw(7), ipv6(7).

    What it receives begins with the IP header with "inet", and without one with "inet6".
    """
    return RAW(make(family, "raw", protocol, fileno), place_of(sys._getframe(1)))


@overload
def unix(type: Literal["stream"] = "stream", *, fileno: int | None = None) -> TCP: ...
@overload
def unix(type: Literal["dgram"], *, fileno: int | None = None) -> UDP: ...
def unix(type: str = "stream", *, fileno: int | None = None) -> TCP | UDP:
    """Make a UNIX socket, "stream" (a TCP object) or "dgram" (a UDP object). unix(7).

    Its addresses are paths; on Linux one with a leading NUL is abstract. A path that is bound stays until it is
    unlinked. ValueError for an unknown type, or where the system has no UNIX sockets.
    """
    names.number(names.UNIX_TYPES, type, "type")
    made_at = place_of(sys._getframe(1))
    if type == "stream":
        return TCP(make("unix", "tcp", None, fileno), None, made_at)
    return UDP(make("unix", "udp", None, fileno), made_at)
