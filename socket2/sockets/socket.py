"""What all sockets share: a name, options, timeouts and closing.

The poller of the current OS thread makes a socket. The first operation attaches the socket to the poller of the OS
thread that performs it. Until then the socket can be bound, set up, and inherited by a forked child. This module has
the timeouts and the turns; the poller has the operations themselves.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pollers
from pollers import Closed, Direction, Handle, Operation, local_address

from ..threads.deadline import patience
from ..threads.lock import lock
from ..threads.scheduler import current_scheduler, local
from . import names
from .address import Address, Host, Port, Query, SocketAddress, format_address
from .setup import Setup

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

    from _typeshed import ReadableBuffer

T = TypeVar("T")
Side: TypeAlias = Literal["read", "write"]

# The queue of a UNIX listener or receiver may be full. The kernel does not report when it has room again.
AGAIN_S = 0.001
AGAIN_MAX_S = 0.05

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)

_places: dict[tuple[str, int], str] = {}


def place_of(frame: FrameType) -> str:
    """Return 'file:line' of a frame. The strings are kept: one for each line that makes sockets."""
    key = (frame.f_code.co_filename, frame.f_lineno)
    place = _places.get(key)
    if place is None:
        place = _places[key] = f"{key[0]}:{key[1]}"
    return place


class Socket(pollers.Unique):
    """The base class of TCP, UDP and RAW.

    A socket is closed by `with` or close(). One that is garbage-collected while open is closed with a ResourceWarning.
    A socket belongs to the loop in which it first connects, accepts, sends or receives. Every use of a closed socket
    raises Closed, except for close(), `closed`, fileno() and the timeouts.
    """

    __slots__ = ("__weakref__", "_handle", "_made_at", "_setup", "_sock")

    _types = names.TYPES

    def __init__(self, sock: socket.socket | None, handle: Handle | None, made_at: str) -> None:
        self._sock = sock  # until it is attached
        self._handle = handle
        self._made_at = made_at
        self._setup: Setup | None = None

    def _attach(self) -> Handle:
        with lock:
            if self._handle is not None:  # another OS thread was faster
                return self._handle
            if self._sock is None:
                raise Closed()
            handle = self._handle = current_scheduler().poller.attach(self._sock)
            self._sock = None
            return handle

    @property
    def std(self) -> socket.socket:
        """The poller's own socket object, normally a socket.socket, for calls that this class lacks.

        It belongs to this socket. Raises Closed if that is closed.
        """
        sock = self._sock if self._handle is None else self._handle.sock
        if sock is None or self.fileno() < 0:
            raise Closed()
        return sock

    def _set_up(self) -> Setup:
        with lock:
            if self._setup is None:
                self._setup = Setup()
            return self._setup

    def limit_read(self, op: Operation[T]) -> Operation[T]:
        """Return `op` under the read timeout, if there is one. For the other rooms of socket2."""
        patience = self._setup.reading if self._setup is not None else None
        return op if patience is None else patience.limit(op)

    def limit_write(self, op: Operation[T]) -> Operation[T]:
        """Return `op` under the write timeout, if there is one. For the other rooms of socket2."""
        patience = self._setup.writing if self._setup is not None else None
        return op if patience is None else patience.limit(op)

    # What the socket is.

    @property
    def type(self) -> str:
        """ "tcp", "udp" or "raw"; for a UNIX socket, "stream" or "dgram"."""
        kinds = names.UNIX_TYPES if self.family == "unix" else names.TYPES
        return str(names.name_of(kinds, self.std.type))

    @property
    def family(self) -> str:
        """ "inet", "inet6" or "unix"."""
        return str(names.name_of(names.FAMILIES, self.std.family))

    @property
    def protocol(self) -> str | int:
        """The name of the protocol, such as "tcp" or "icmp", or its number if socket2 has no name for it."""
        return names.name_of(names.PROTOCOLS, self.std.proto)

    @property
    def closed(self) -> bool:
        """Whether close() or detach() was called."""
        return self.fileno() < 0

    @property
    def handle(self) -> Handle:
        """The poller's handle, for code that builds on sockets. Attaches the socket if needed. Raises Closed."""
        return self._handle or self._attach()

    def fileno(self) -> int:
        """Return the descriptor, -1 if the socket is closed."""
        if self._handle is not None:
            return self._handle.fileno()
        return self._sock.fileno() if self._sock is not None else -1

    def getsockname(self) -> Any:
        """Return the local address: (host, port), IPv6 (host, port, flow, scope), or a UNIX path. getsockname(2)."""
        return local_address(self.std)

    def getpeername(self) -> Any:
        """Return the peer's address in the form of getsockname(). Raises OSError (ENOTCONN). getpeername(2)."""
        return self.std.getpeername()

    @property
    def local_address(self) -> SocketAddress:
        """The local address, as getsockname() returns it."""
        address: SocketAddress = local_address(self.std)
        return address

    @property
    def remote_address(self) -> SocketAddress:
        """The peer's address, as getpeername() returns it. Raises OSError (ENOTCONN) if the socket is not connected."""
        address: SocketAddress = self.std.getpeername()
        return address

    # Options.

    def setsockopt(
        self, level: int, option: int, value: int | ReadableBuffer | None, length: int | None = None
    ) -> None:
        """Set an option as socket.setsockopt() does. One set before the first operation survives a failed connect."""
        args: tuple[Any, ...] = (level, option, value) if length is None else (level, option, value, length)
        self.std.setsockopt(*args)
        if self._handle is None:
            self._set_up().options.append(args)

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """Return an option as socket.getsockopt() does."""
        value = self.std.getsockopt(level, option, length) if length else self.std.getsockopt(level, option)
        if value and (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            self._note(value)
        return value

    def _note(self, failure: int | bytes) -> None:
        """Pass on a pending error. The kernel reports it only once, but receives and sends must know of it, too."""
        if self._handle is not None and isinstance(failure, int):
            self._handle.told(OSError(failure, os.strerror(failure)))

    def setopt(self, name: str, value: Any) -> None:
        """Set an option by its name: `sock.setopt("nodelay", True)`. setsockopt(2), socket(7), tcp(7), ipv6(7).

        True or False: nodelay, keepalive, broadcast, reuseaddr, reuseport, v6only, dontroute. A number: keepalive_idle
        and keepalive_interval (seconds), keepalive_count, sndbuf and rcvbuf (bytes; Linux doubles them). linger: how
        many seconds close() keeps data in flight; 0 resets the connection; None sets no limit. Of sent packets: ttl and
        tos (numbers), for multicast multicast_ttl (a number), multicast_loop (bool) and multicast_interface (its name,
        number or IPv4 address). packet_info, recv_ttl, recv_tos (bool): what recvmsg() reports of received packets.
        Options survive a failed connect as with setsockopt(). Raises ValueError if the name is unknown or a number
        is out of range, TypeError if the value is wrong, OSError (ENOPROTOOPT) if the system or the socket lacks it.
        """
        self.setsockopt(*pollers.option_call(name, value, self.std.family))

    def getopt(self, name: str) -> Any:
        """Return an option by its name: a bool or a number; None if linger is off. Raises as setopt() does."""
        return pollers.get_option(self.std, name)

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Limit every operation to `seconds`; an operation that takes longer raises TimeoutError. None: no limit.

        `direction`: "read" (accept, recv...), "write" (connect, send...), or None for both. A result that is ready by
        then is delivered. A receive or accept that times out has taken nothing, so the socket is still usable. 0 means
        that an operation times out as soon as it would have to wait. Raises ValueError if `seconds` is negative or
        `direction` unknown.
        """
        if direction not in ("read", "write", None):
            raise ValueError(f"direction must be 'read', 'write' or None, not {direction!r}")
        reading, writing = patience(seconds), patience(seconds)
        setup = self._set_up()
        if direction != "write":
            setup.reading = reading
        if direction != "read":
            setup.writing = writing

    def gettimeout(self, direction: Side = "read") -> float | None:
        """Return the timeout of a direction in seconds, None if there is none."""
        setup = self._setup
        if setup is None:
            return None
        patience = setup.reading if direction == "read" else setup.writing
        return None if patience is None else patience.seconds

    # Addresses.

    def _query(self, host: Host, port: Port) -> Query:
        kind = self.type
        return Query(host, port, kind, self.family, self.std.proto if kind == "raw" else None, ())

    def bind(self, host: Host = None, port: Port = 0) -> None:
        """Bind to an address. `host` and `port`: as in addr(), or an AddressList. bind(2).

        bind() does not wait. Inside a thread it raises ValueError for a name that has to be looked up: bind to the
        result of addr() instead. Outside a thread it asks the system, which blocks. Of several addresses, the first
        that works is used. Raises OSError if the address is in use or not local, or if the socket is bound already;
        OverflowError if the port is out of range.
        """
        query = self._query(host, port)
        self._bind(query)

    def _bind(self, query: Query) -> None:
        addresses = query.at_once()
        if addresses is None:
            in_thread = local.member is not None and local.member.current is not None
            if in_thread or current_scheduler().resolver is not None:
                what = f"the port {query.port!r}" if isinstance(query.port, str) else f"{query.host!r}"
                raise ValueError(
                    f"{what} has to be looked up, which waits: bind to the result of `yield from addr(...)`"
                )
            addresses = query.look_up()
        sock = self.std
        for at, address in enumerate(addresses, 1):
            try:
                sock.bind(sockaddr_of(self, address))
            except OSError as error:
                if at == len(addresses):
                    error.add_note(f"binding to {address}")
                    raise
            else:
                return

    def _is_bound(self) -> bool:
        name = local_address(self.std)
        return bool(name[1]) if isinstance(name, tuple) else bool(name)

    # Closing.

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR or SHUT_RDWR. shutdown(2).

        After SHUT_WR, the default, the peer receives the remaining data and then the end of the stream. Raises OSError
        (ENOTCONN).
        """
        self.std.shutdown(how)

    def close(self) -> None:
        """Close the socket. Operations that wait raise Closed; a second close does nothing. close(2).

        close() does not wait. The kernel still sends the data that it has accepted. It resets the connection instead if
        `linger` is 0 or if received data was left unread. See Stream.finish().
        """
        if self._setup is not None and self._setup.path is not None and not self.closed:
            self._setup.path.remove()
        while True:
            with lock:
                handle, sock = self._handle, self._sock
                if handle is None:
                    self._sock = None
            # Outside the lock, because no descriptor is closed under it.
            if handle is not None:
                handle.close()
            elif sock is not None:
                pollers.close(sock)
            if self._handle is handle and (handle is not None or self._sock is None):
                return  # otherwise another OS thread replaced or attached it meanwhile

    def detach(self) -> int:
        """Close this object and return its open descriptor, which is non-blocking if the socket was used.

        Operations that wait raise Closed.
        """
        with lock:
            sock = self.std
            if self._handle is not None:
                sock = self._handle.detach()
            self._sock = None
            return sock.detach()

    def dup(self) -> Self:
        """Return another socket for the same open file description, with its own descriptor and directions. dup(2).

        Both send and receive on the same connection, or the same queue of datagrams, and have the same options, peer
        and O_NONBLOCK. But each has its own waits, so one thread may wait in each of them, and either of two receivers
        gets what arrives. Timeouts are copied. Closing one does not affect the other; shutdown() ends the direction of
        both. The file of a UNIX path belongs to the original, whose close() removes it. Raises Closed; OSError if no
        descriptor is left.
        """
        made = self._like(current_scheduler().poller.adopt(self.std.dup().detach()), place_of(sys._getframe(1)))
        made._setup = self._setup.copied() if self._setup is not None else None
        return made

    def _like(self, sock: socket.socket, made_at: str) -> Self:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # If a signal handler raised inside __init__, attributes may be missing.
        if not sys.is_finalizing() and hasattr(self, "_made_at") and not self.closed:
            try:
                warnings.warn(f"unclosed {self!r}, made at {self._made_at}", ResourceWarning, stacklevel=2, source=self)
            finally:
                self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__} closed>"
        ends = ""
        with suppress(OSError):
            if here := format_address(local_address(self.std)):
                ends = f" {here}"
            if there := format_address(self.std.getpeername()):
                ends += f" to {there}"
        return f"<{type(self).__name__} fd {self.fileno()}, {self.family}{ends}>"


def sockaddr_of(sock: Socket, address: Address) -> Any:
    """Return the kernel's form of an address. Raises OSError if it is of another family than the socket."""
    if address.family != sock.family:
        raise OSError(errno.EAFNOSUPPORT, f"{address} cannot be used with a socket of family {sock.family}")
    return address.sockaddr


def direction_of(sock: Socket, side: Literal["reading", "writing"]) -> Direction | None:
    """Return a direction of the socket's handle; None if it has no handle yet, so nobody can be waiting."""
    handle = sock._handle
    if handle is None:
        return None
    return handle.reading if side == "reading" else handle.writing


def exchange_handle(sock: Socket, old: Handle, new: Handle) -> None:
    """Let the socket do its operations through the handle `new`, if it still has the handle `old`."""
    with lock:
        if sock._handle is old:
            sock._handle = new


def check_octets(data: ReadableBuffer) -> None:
    """Raise TypeError if `data` is not a bytes-like object."""
    try:
        memoryview(data).release()
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None


def make(family: str, kind: str, protocol: str | int | None, fileno: int | None) -> socket.socket:
    """Make a socket with the poller of this OS thread, or take over a descriptor, which must be of the right kind."""
    poller = current_scheduler().poller
    if fileno is not None:
        sock = poller.adopt(fileno)
        if sock.type != names.number(names.TYPES, kind, "type"):
            sock.detach()
            raise ValueError(f"descriptor {fileno} is not a {kind} socket")
        return sock
    return poller.socket(
        names.number(names.FAMILIES, family, "family"),
        names.number(names.TYPES, kind, "type"),
        names.protocol_number(protocol, kind, family),
    )
