"""What all sockets have in common: a name, options, timeouts, and an end.

The poller of this OS thread makes a socket. That of the OS thread which first does an operation on it takes it over;
until then it can be bound, set up, and inherited by a forked child. Timeouts and turns are here, the operations
themselves are the poller's.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pollers
from pollers import Closed, Direction, Handle, Operation, local_address

from ..threads.lock import lock
from ..threads.scheduler import current_scheduler, local
from ..threads.sleeping import Patience
from ..threads.timers import duration
from ..threads.wait import Turns
from . import names
from .address import Address, Host, Port, Query, text_of

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

    from _typeshed import ReadableBuffer

T = TypeVar("T")
Side: TypeAlias = Literal["read", "write"]

# When the queue of a UNIX listener or receiver is full, nothing tells when it has room again.
AGAIN_S = 0.001
AGAIN_MAX_S = 0.05

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)

_places: dict[tuple[str, int], str] = {}


def place_of(frame: FrameType) -> str:
    """Return 'file:line' of a frame. There are as many such strings as lines that make sockets."""
    key = (frame.f_code.co_filename, frame.f_lineno)
    place = _places.get(key)
    if place is None:
        place = _places[key] = f"{key[0]}:{key[1]}"
    return place


class Setup:
    """What few sockets have, so that the others need not have the room for it."""

    __slots__ = ("options", "reading", "receivers", "senders", "writing")

    def __init__(self) -> None:
        self.options: list[tuple[Any, ...]] = []  # those set before it was attached
        self.reading: Patience | None = None
        self.writing: Patience | None = None
        self.receivers = Turns()
        self.senders = Turns()


class Socket(pollers.Unique):
    """The base of TCP, UDP and RAW. Closed by `with`, by close(), or, with a ResourceWarning, by being forgotten.

    It belongs to the loop in which it is first received from, sent with, connected or accepted on. Whatever is
    done with a closed one raises Closed, but for closing it again and asking for `closed`, fileno() and timeouts.
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
        """What the poller has made, the standard library's socket as a rule, for calls that this one has not.

        Belongs to this one. Closed when closed.
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
        """Return `op` under the timeout for reading, if there is one: for what is built on this."""
        patience = self._setup.reading if self._setup is not None else None
        return op if patience is None else patience.limit(op)

    def limit_write(self, op: Operation[T]) -> Operation[T]:
        """Return `op` under the timeout for writing, if there is one: for what is built on this."""
        patience = self._setup.writing if self._setup is not None else None
        return op if patience is None else patience.limit(op)

    # What it is.

    @property
    def type(self) -> str:
        """ "tcp", "udp", "raw"; "stream" or "dgram" for a UNIX socket."""
        kinds = names.UNIX_TYPES if self.family == "unix" else names.TYPES
        return str(names.name_of(kinds, self.std.type))

    @property
    def family(self) -> str:
        """ "inet", "inet6", "unix"."""
        return str(names.name_of(names.FAMILIES, self.std.family))

    @property
    def protocol(self) -> str | int:
        """A protocol's name: "tcp", "icmp"; its number if it has no name here."""
        return names.name_of(names.PROTOCOLS, self.std.proto)

    @property
    def closed(self) -> bool:
        """Whether close() or detach() was called."""
        return self.fileno() < 0

    @property
    def handle(self) -> Handle:
        """The poller's handle, for what is built on this. Attaches the socket if it was not yet. Closed when closed."""
        return self._handle or self._attach()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        if self._handle is not None:
            return self._handle.fileno()
        return self._sock.fileno() if self._sock is not None else -1

    def getsockname(self) -> Any:
        """This side's address: (host, port), (host, port, flow, scope) for IPv6, a path for UNIX. getsockname(2)."""
        return local_address(self.std)

    def getpeername(self) -> Any:
        """The peer's address, as getsockname() has it. OSError (ENOTCONN) when it is not connected. getpeername(2)."""
        return self.std.getpeername()

    @property
    def local_address(self) -> Any:
        """This side's address, as getsockname() returns it."""
        return local_address(self.std)

    @property
    def remote_address(self) -> Any:
        """The peer's address, as getpeername() returns it. OSError (ENOTCONN) when it is not connected."""
        return self.std.getpeername()

    # Options.

    def setsockopt(
        self, level: int, option: int, value: int | ReadableBuffer | None, length: int | None = None
    ) -> None:
        """As socket.setsockopt(). An option that is set before the first operation outlives a connect that failed."""
        args: tuple[Any, ...] = (level, option, value) if length is None else (level, option, value, length)
        self.std.setsockopt(*args)
        if self._handle is None:
            self._set_up().options.append(args)

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """As socket.getsockopt()."""
        value = self.std.getsockopt(level, option, length) if length else self.std.getsockopt(level, option)
        if value and (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            self._note(value)
        return value

    def _note(self, failure: int | bytes) -> None:
        """The kernel tells once: receives and sends have to know, too."""
        if self._handle is not None and isinstance(failure, int):
            self._handle.told(OSError(failure, os.strerror(failure)))

    def setopt(self, name: str, value: Any) -> None:
        """Set an option by its name: `sock.setopt("nodelay", True)`. setsockopt(2), socket(7), tcp(7), ipv6(7).

        True or False: nodelay, keepalive, broadcast, reuseaddr, reuseport, v6only, dontroute. A number: keepalive_idle
        and keepalive_interval (seconds), keepalive_count, sndbuf and rcvbuf (bytes; Linux doubles them). linger: how
        many seconds close() keeps data that is under way, 0 to reset the connection, None for as long as it takes.
        Outlives a failed connect as setsockopt() does. ValueError for an unknown name, TypeError for a wrong value,
        OSError (ENOPROTOOPT) where the system or the socket has no such option.
        """
        self.setsockopt(*pollers.option_call(name, value))

    def getopt(self, name: str) -> Any:
        """Return an option's value by its name: a bool, a number; of linger None when it is off. As setopt()."""
        return pollers.get_option(self.std, name)

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Let every operation take `seconds` at the most, then raise TimeoutError; None: as long as it takes.

        `direction`: "read" (accept, recv...), "write" (connect, send...), None both. What has finished by then is
        delivered, and a receive or accept that ran out of time has taken nothing: the socket can be used on. 0: the
        time is over as soon as the operation would have to wait. ValueError for a negative number.
        """
        if direction not in ("read", "write", None):
            raise ValueError(f"a direction is 'read', 'write' or None, not {direction!r}")
        limited = seconds is not None and duration(seconds) <= 2**31 - 1
        setup = self._set_up()
        if direction != "write":
            setup.reading = Patience(seconds) if limited and seconds is not None else None
        if direction != "read":
            setup.writing = Patience(seconds) if limited and seconds is not None else None

    def gettimeout(self, direction: Side = "read") -> float | None:
        """Return the timeout of a direction in seconds, None when there is none."""
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
        """Bind to an address: see addr() for `host` and `port`, or give an AddressList. bind(2).

        Does not wait, so a name cannot be looked up inside a thread: ValueError; bind to what addr() found. Outside a
        thread the look-up blocks, and the system is asked. Of several addresses the first that works is taken. OSError
        when the address is in use, not ours, or the socket is bound already; OverflowError for a port that is none.
        """
        query = self._query(host, port)
        self._bind(query)

    def _bind(self, query: Query) -> None:
        addresses = query.at_once()
        if addresses is None:
            in_thread = local.member is not None and local.member.current is not None
            if in_thread or current_scheduler().resolver is not None:
                raise ValueError(
                    f"{query.host!r} has to be looked up, which takes a wait: bind to what `yield from addr(...)` found"
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

    # The end.

    def shutdown(self, how: int) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR or SHUT_RDWR. shutdown(2).

        After SHUT_WR the peer receives what is left and then the end of the stream. OSError (ENOTCONN).
        """
        self.std.shutdown(how)

    def close(self) -> None:
        """Close the socket. Whoever waits on it gets Closed; a second close does nothing. close(2).

        Does not wait. What the kernel has taken is still sent, unless `linger` is 0 or something that came was not
        received: then the connection is reset. See Stream.finish().
        """
        while True:
            with lock:
                handle, sock = self._handle, self._sock
                if handle is None:
                    self._sock = None
            # Without the lock, under which nothing of the system's is closed.
            if handle is not None:
                handle.close()
            elif sock is not None:
                pollers.close(sock)
            if self._handle is handle and (handle is not None or self._sock is None):
                return  # else another OS thread has replaced or attached it meanwhile

    def detach(self) -> int:
        """Close this object but not the descriptor; return that, non-blocking if it was used. Waiters get Closed."""
        with lock:
            sock = self.std
            if self._handle is not None:
                sock = self._handle.detach()
            self._sock = None
            return sock.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # What a signal handler has raised in the midst of __init__ leaves it without a part.
        if not sys.is_finalizing() and hasattr(self, "_made_at") and not self.closed:
            try:
                warnings.warn(f"unclosed {self!r}, made at {self._made_at}", ResourceWarning, stacklevel=2, source=self)
            finally:
                self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__} closed>"
        there = ""
        try:
            here = text_of(local_address(self.std))
            there = " to " + text_of(self.std.getpeername())
        except OSError:
            here = here if "here" in locals() else ""
        return f"<{type(self).__name__} fd {self.fileno()}, {self.family} {here}{there}>"


def sockaddr_of(sock: Socket, address: Address) -> Any:
    """What the kernel takes. OSError when the address is of another family than the socket."""
    if address.family != sock.family:
        raise OSError(errno.EAFNOSUPPORT, f"{address} is no address for an {sock.family} socket")
    return address.sockaddr


def direction_of(sock: Socket, side: Literal["reading", "writing"]) -> Direction | None:
    """A direction of the socket's handle; None while it has no handle, and nobody can wait."""
    handle = sock._handle
    if handle is None:
        return None
    return handle.reading if side == "reading" else handle.writing


def exchange_handle(sock: Socket, old: Handle, new: Handle) -> None:
    """Have the socket do its operations on another handle, if it still has the old one."""
    with lock:
        if sock._handle is old:
            sock._handle = new


def check_octets(data: ReadableBuffer) -> None:
    """TypeError if `data` is not bytes in some form."""
    memoryview(data).release()


def make(family: str, kind: str, protocol: str | int | None, fileno: int | None) -> socket.socket:
    """Have the poller of this OS thread make a socket, or take over a descriptor that has to be of the right kind."""
    poller = current_scheduler().poller
    if fileno is not None:
        sock = poller.adopt(fileno)
        if sock.type != names.number(names.TYPES, kind, "type"):
            sock.detach()
            raise ValueError(f"descriptor {fileno} is no {kind} socket")
        return sock
    return poller.socket(
        names.number(names.FAMILIES, family, "family"),
        names.number(names.TYPES, kind, "type"),
        names.protocol_number(protocol, kind, family),
    )
