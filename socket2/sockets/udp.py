"""Datagram sockets: UDP, UNIX datagram sockets and raw sockets. They share one interface."""

from __future__ import annotations

import functools
import operator
import socket
import sys
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import pollers
from pollers import Control, Interface, Operation, PacketInfo, control_of, operation

from ..threads.scheduler import current_scheduler
from ..threads.sleeping import persist
from . import names
from .address import AddressList, Host, Port, Query, SocketAddress, resolve
from .ancillary import ROOM, Message, check_limits, pieces_of, receive_message, send_message
from .socket import AGAIN_MAX_S, AGAIN_S, Socket, check_octets, make, place_of, sockaddr_of
from .tcp import TCP

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer


class UDP(Socket):
    """A datagram socket. Made by udp() and unix("dgram").

    Datagrams may be empty. Several threads may receive, and several may send: they take turns. If the receiver's system
    refuses a datagram, the next operation on a connected socket raises ConnectionRefusedError, whichever operation that
    is. The socket is still usable.
    """

    __slots__ = ()

    def __init__(self, sock: socket.socket, made_at: str = "") -> None:
        super().__init__(sock, None, made_at)

    def _like(self, sock: socket.socket, made_at: str) -> Self:
        return type(self)(sock, made_at)

    def _receive(self, op: Operation[Any]) -> Operation[Any]:
        return self.limit_read(self._set_up().receivers.through("turn to receive", op))

    def recv(self, n: int) -> Operation[bytes]:
        """Receive a datagram, truncated to `n` bytes. recv(2).

        A cancellation or timeout takes nothing. Raises Closed, TimeoutError, ConnectionRefusedError.
        """
        return self._receive(self._first((self._handle or self._attach()).recvfrom(n, self)))

    @operation
    def _first(self, op: Operation[tuple[Any, Any]]) -> Generator[Any, None, Any]:
        return (yield from op)[0]

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive a datagram into `buffer`, truncated to `n` bytes or its length; return the number of bytes stored.

        A cancellation or timeout takes nothing. Raises as recv() does.
        """
        return self._receive(self._first((self._handle or self._attach()).recvfrom_into(buffer, n or 0, self)))

    def recvfrom(self, n: int) -> Operation[tuple[bytes, SocketAddress]]:
        """Receive a datagram, truncated to `n` bytes; return it and its sender's address.

        The address has the standard library's form. A cancellation or timeout takes nothing. Raises as recv() does.
        """
        return self._receive((self._handle or self._attach()).recvfrom(n, self))

    def recvfrom_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[tuple[int, SocketAddress]]:
        """Receive a datagram into `buffer`; return the number of bytes stored and the sender's address.

        Otherwise as recv_into().
        """
        return self._receive((self._handle or self._attach()).recvfrom_into(buffer, n or 0, self))

    def recvmsg(self, n: int, *, max_fds: int = 0, control_size: int = ROOM) -> Operation[Message]:
        """Receive a datagram of up to `n` bytes with its control data, such as where it arrived. recvmsg(2).

        What the control data tells depends on the options "packet_info", "recv_ttl" and "recv_tos". `control_size`: the
        room for it in bytes. `max_fds`: how many descriptors may come over a UNIX socket. More of them are closed, and
        `control_truncated` is true then. A cancellation or timeout takes nothing. Raises as recv() does; ValueError if
        a limit is too low; io.UnsupportedOperation on Windows.
        """
        check_limits(n, max_fds, control_size)
        return self._receive(receive_message(self._handle or self._attach(), n, control_size, max_fds, self))

    def sendmsg(
        self,
        data: ReadableBuffer | Iterable[ReadableBuffer],
        host: Host = None,
        port: Port = 0,
        *,
        packet_info: PacketInfo | None = None,
        ttl: int | None = None,
        tos: int | None = None,
        fds: Iterable[int] = (),
        ancillary: Iterable[Control] = (),
    ) -> Operation[int]:
        """Send a datagram, one buffer or several, with control data; return its length. sendmsg(2).

        `host` and `port`: as in send(). `packet_info`: the local address and interface to send from, for example those
        of a received message. `ttl`, `tos`: those of this packet. `fds`: descriptors, over a UNIX socket. `ancillary`:
        other control data, (level, type, data). A cancellation or timeout sends nothing. Raises as send() does;
        ValueError if the socket has no such control data; io.UnsupportedOperation on Windows.
        """
        pieces = pieces_of(data)
        numbers = [*map(operator.index, fds)]
        control = control_of(self.std.family, packet_info=packet_info, ttl=ttl, tos=tos, fds=numbers)
        to = host if host is None or (isinstance(host, tuple) and self._is_numeric(host)) else self._query(host, port)
        sending = self._sendmsg(pieces, [*control, *ancillary], to)
        return self.limit_write(self._set_up().senders.through("turn to send", sending))

    @operation
    def _sendmsg(self, pieces: list[ReadableBuffer], control: list[Control], to: Any) -> Generator[Any, None, int]:
        address = sockaddr_of(self, (yield from resolve(to))[0]) if isinstance(to, Query) else to
        handle = self._handle or self._attach()
        sending = functools.partial(send_message, handle, pieces, control, address, self)
        return (yield from persist(sending, AGAIN_S, AGAIN_MAX_S))

    def send(self, data: ReadableBuffer, host: Host = None, port: Port = 0) -> Operation[int]:
        """Send a datagram to `host` and `port`, or to the peer of a connected socket; return its length. sendto(2).

        `host`: as in addr(); an address from recvfrom() is the fastest. A cancellation or timeout sends nothing. Raises
        OSError (too long: EMSGSIZE; no peer: EDESTADDRREQ), socket.gaierror, Closed, TimeoutError.
        """
        check_octets(data)
        if host is None:
            handle = self._handle or self._attach()
            return self.limit_write(self._set_up().senders.through("turn to send", handle.send(data, self)))
        return self.sendto(data, host, port)

    def sendto(self, data: ReadableBuffer, host: Host, port: Port = 0) -> Operation[int]:
        """Send a datagram to an address and return its length. Works as send() with an address. sendto(2)."""
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
        """Whether the kernel takes this address as it is. If it were a name, sendto() would look it up, and block."""
        try:
            socket.inet_pton(self.std.family, address[0].partition("%")[0])
        except (OSError, AttributeError, TypeError, IndexError):
            return False
        return len(address) > 1

    def connect(self, host: Host, port: Port = 0) -> Operation[None]:
        """Set the peer: send() goes to it, and only its datagrams are received. Can be called again. connect(2).

        A cancellation or timeout keeps the old peer. Raises OSError, socket.gaierror, Closed, TimeoutError.
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

    # Multicast.

    def join_group(self, group: str, interface: Interface = None, source: str | None = None) -> None:
        """Receive what is sent to a multicast group on a network interface. ip(7), ipv6(7).

        `group`: its IP address. `interface`: a name, a number, for IPv4 also an IP address of the interface; None: the
        one that the system chooses. `source`: receive only the datagrams of this sender. Bind the socket to the port of
        the group. Raises ValueError if `group` is not the address of a group of the socket's family; OSError (ENODEV:
        no such interface; EADDRINUSE: joined already; ENOPROTOOPT), Closed.
        """
        self._change_group(group, interface, source, True)

    def leave_group(self, group: str, interface: Interface = None, source: str | None = None) -> None:
        """Receive nothing more of a multicast group. Closing the socket leaves all groups.

        The arguments must be those of join_group(). Raises as join_group(), and OSError (EADDRNOTAVAIL) if the socket
        is not in the group.
        """
        self._change_group(group, interface, source, False)

    def _change_group(self, group: str, interface: Interface, source: str | None, join: bool) -> None:
        call = pollers.group_call(group, interface, source, join)
        if self.family != ("inet6" if ":" in group else "inet"):
            raise ValueError(f"the group {group} cannot be used with a socket of family {self.family}")
        self.std.setsockopt(*call)


class RAW(UDP):
    """A raw socket: whole packets of one protocol. Made by raw()."""

    __slots__ = ()


def udp(family: str = "inet", protocol: str | int | None = None, *, fileno: int | None = None) -> UDP:
    """Make a UDP socket of family "inet" or "inet6", or take over the open descriptor `fileno`. Errors as in tcp()."""
    return UDP(make(family, "udp", protocol, fileno), place_of(sys._getframe(1)))


def raw(family: str = "inet", protocol: str | int | None = None, *, fileno: int | None = None) -> RAW:
    """Make a raw socket: raw("inet", "icmp"). raw(7), ipv6(7).

    Received packets begin with the IP header if the family is "inet", and have none if it is "inet6". Raises
    PermissionError if the process lacks the privilege; otherwise as tcp() does.
    """
    return RAW(make(family, "raw", protocol, fileno), place_of(sys._getframe(1)))


@overload
def unix(type: Literal["stream"] = "stream", *, fileno: int | None = None) -> TCP: ...
@overload
def unix(type: Literal["dgram"], *, fileno: int | None = None) -> UDP: ...
def unix(type: str = "stream", *, fileno: int | None = None) -> TCP | UDP:
    """Make a UNIX socket: "stream" gives a TCP object, "dgram" a UDP object. unix(7).

    Its addresses are paths. On Linux a path with a leading NUL is abstract. A bound path stays until it is unlinked;
    socket2.listen() and bind() do more. Raises ValueError if the type is unknown, or if the system has no UNIX sockets.
    """
    names.number(names.UNIX_TYPES, type, "type")
    made_at = place_of(sys._getframe(1))
    if type == "stream":
        return TCP(make("unix", "tcp", None, fileno), None, made_at)
    return UDP(make("unix", "udp", None, fileno), made_at)


Family: TypeAlias = Literal["unix", "inet", "inet6"]


@overload
def socketpair(type: Literal["stream"] = "stream", *, family: Family | None = None) -> tuple[TCP, TCP]: ...
@overload
def socketpair(type: Literal["dgram"], *, family: Family | None = None) -> tuple[UDP, UDP]: ...
def socketpair(type: str = "stream", *, family: str | None = None) -> tuple[TCP, TCP] | tuple[UDP, UDP]:
    """Return two sockets that are connected to each other: `ours, theirs = socketpair()`. socketpair(2).

    `type`: "stream" or "dgram". `family`: "unix", "inet" or "inet6"; by default "unix", and on systems without UNIX
    sockets "inet". Pairs of the last two are connected over the loopback interface, where datagrams get lost if the
    receiver's buffer is full. Raises OSError; ValueError if the type or family is unknown.
    """
    kind = names.number(names.UNIX_TYPES, type, "type")
    family = family if family is not None else "unix" if "unix" in names.FAMILIES else "inet"
    made = current_scheduler().poller.socketpair(names.number(names.FAMILIES, family, "family"), kind, 0)
    made_at = place_of(sys._getframe(1))
    if type == "stream":
        one, other = (TCP(sock, None, made_at) for sock in made)
        return one, other
    here, there = (UDP(sock, made_at) for sock in made)
    return here, there
