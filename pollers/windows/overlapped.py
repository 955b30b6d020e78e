"""Requests: overlapped calls, and all memory that the kernel may use until their packets have arrived.

A request to receive asks only for a signal that there is data. The attempt is made after that, so a cancel loses
nothing. An accept, a connect or a send is done by the kernel, and its packet has the operation's outcome. A request
belongs to the kernel from begin() to end(). A cancel in that time asks the kernel to end it, and frees nothing. This
module knows handles and the port only by the protocols below.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol

from ..operation import CANCELLING, Exhausted, system_error
from ..readiness.attempts import THIS_CONNECTION, is_its_own_peer
from ..readiness.handle import Direction
from ..readiness.interface import READABLE, WRITABLE, Attempting, Half, Loop
from . import winsock
from .winsock import Fresh, ffi

# The most bytes that the kernel is given at a time. A cancelled send or sendfile reports how many of them were sent.
_SEND_MAX = 1 << 30
_COPY_MAX = _TRANSMIT_MAX = 1 << 20


def is_listening(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_STREAM and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class Port(Loop, Protocol):
    """The poller, as a request knows it. See Iocp."""

    def report(self, handle: Any, bit: int) -> None:
        """Something has happened in this direction: attempt its operation again, if there is one."""

    def conclude(self, side: Direction, value: Any = None, error: BaseException | None = None) -> None:
        """End the operation parked here with a result or an error."""


class ReadingHalf(Half, Protocol):
    def accepts_have_ended(self) -> None:
        """No accept is in flight any more after a cancel."""


class WritingHalf(Half, Protocol):
    def outcome_of(self, request: Request, value: Any = None, error: OSError | None = None) -> None:
        """A request has ended. Its outcome becomes the operation's, if that operation still waits."""


class Associated(Attempting, Protocol):
    """A handle, as a request knows it. See IocpHandle."""

    accepting: int
    in_flight: int
    skips: bool

    @property
    def is_stream(self) -> bool: ...
    @property
    def poller(self) -> Port: ...
    @property
    def reading(self) -> ReadingHalf: ...
    @property
    def writing(self) -> WritingHalf: ...


class Request:
    """One overlapped call for one direction of a handle."""

    __slots__ = ("attempt", "handle", "memory", "overlapped", "side")

    bit = WRITABLE
    consumes = False  # True: a cancel of the operation must cancel the call, and the call's outcome decides

    def __init__(self, handle: Associated, side: Direction) -> None:
        self.handle = handle
        self.side = side
        self.attempt: Callable[[Any, Any], Any] | None = side.attempt
        self.overlapped = ffi.new("OVERLAPPED *")
        self.memory: list[Any] = [self.overlapped]

    def begin(self) -> int:
        """Make the call. Returns Winsock's code."""
        raise NotImplementedError

    def end(self, status: int, count: int) -> None:
        """Process the packet: the call's NTSTATUS, and the number of bytes transferred."""
        raise NotImplementedError


class Receive(Request):
    """A receive of 0 bytes. It completes when there is something to receive."""

    __slots__ = ()
    bit = READABLE

    def begin(self) -> int:
        handle = self.handle
        code = winsock.receive_nothing(handle.fd, self.overlapped, peek=not handle.is_stream)
        # No datagram fits into 0 bytes. This code is only a warning, and the packet still arrives.
        return winsock.PENDING if code == winsock.MESSAGE_TOO_LONG else code

    def end(self, status: int, count: int) -> None:
        poller = self.handle.poller
        if winsock.failed(status) and self.side.parked:
            poller.conclude(self.side, error=winsock.error_of_status(status))
        else:
            poller.report(self.handle, READABLE)


class Accept(Request):
    """An accept into a socket made beforehand. The connection is kept for the next accept operation."""

    __slots__ = ("addresses", "sock")
    bit = READABLE

    def __init__(self, handle: Associated, side: Direction) -> None:
        super().__init__(handle, side)
        listener = handle.sock
        try:
            self.sock = Fresh(listener.family, listener.type, listener.proto)
        except OSError as error:
            raise Exhausted(error.errno, error.strerror) from None
        self.addresses = ffi.new("char[]", winsock.ADDRESSES_SIZE)
        self.memory.append(self.addresses)

    def begin(self) -> int:
        code = winsock.accept(self.handle.fd, self.sock.fileno(), self.overlapped, self.addresses)
        self.handle.accepting += code in (0, winsock.PENDING)
        return code

    def end(self, status: int, count: int) -> None:
        handle = self.handle
        handle.accepting -= 1
        try:
            if handle.fd < 0:
                raise winsock.error_of_status(winsock.STATUS_CANCELLED)
            if winsock.failed(status):
                raise winsock.error_of_status(status)
            address = winsock.accepted(handle.sock, self.sock, self.addresses)
        except OSError as error:
            self.sock.close()
            # Only this client has left; the listener still works.
            lost = error.errno in THIS_CONNECTION or error.errno in (errno.ECANCELED, errno.EAGAIN)
            if not lost and self.side.parked:
                handle.poller.conclude(self.side, error=error)
                return
        else:
            fresh = self.sock
            sock = socket.socket(fresh.family, fresh.type, fresh.proto, fileno=fresh.detach())
            handle.poller.kept.setdefault(handle, []).append((handle.poller.admit(sock, True), address))
        if not self.side.state & CANCELLING:
            handle.poller.report(handle, READABLE)
        elif not handle.accepting:
            handle.reading.accepts_have_ended()


class Connect(Request):
    """A connect to the address that the operation has."""

    __slots__ = ("any_port",)

    def begin(self) -> int:
        sock = self.handle.sock
        unbound = ("::", 0) if sock.family == socket.AF_INET6 else ("0.0.0.0", 0)
        self.any_port = True
        try:
            sock.bind(unbound)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.any_port = False  # it is bound already
        address = winsock.sockaddr(sock.family, self.side.value)
        self.memory.append(ffi.new("char[]", address))
        code = winsock.connect(self.handle.fd, self.overlapped, self.memory[-1], len(address))
        if code == winsock.INVALID_ARGUMENT and is_listening(sock):
            return winsock.CONNECTED_ALREADY  # as other systems report it for a listener
        if code in (0, winsock.PENDING):
            self.handle.begin_anew()
        return code

    def end(self, status: int, count: int) -> None:
        try:
            if winsock.failed(status):
                raise winsock.error_of_status(status)
            if self.handle.fd >= 0:
                sock = self.handle.sock
                winsock.connected(sock)
                if self.any_port and is_its_own_peer(sock):
                    raise system_error(errno.ECONNREFUSED)
        except OSError as error:
            self.handle.writing.outcome_of(self, error=error)
        else:
            self.handle.writing.outcome_of(self)


class Send(Request):
    """A send of the rest of the data, from a pinned buffer. One packet arrives when the kernel has taken it all."""

    __slots__ = ()
    consumes = True

    def begin(self) -> int:
        data = self.side.value
        if not isinstance(data, bytes):  # a cancelled sender may change or shorten it while the kernel still reads it
            with memoryview(data) as view, view.cast("B") as octets:
                data = bytes(octets[:_COPY_MAX])
        buffer = ffi.from_buffer(data)
        self.memory.append(buffer)
        return winsock.send(self.handle.fd, self.overlapped, buffer, min(len(buffer), _SEND_MAX))

    def end(self, status: int, count: int) -> None:
        if winsock.failed(status) and not count:
            self.handle.writing.outcome_of(self, error=winsock.error_of_status(status))
        else:
            self.handle.writing.outcome_of(self, count)


class Transmit(Send):
    """A send of a part of a file."""

    __slots__ = ()

    def begin(self) -> int:
        file, offset, count = self.side.value
        count = min(count, os.fstat(file).st_size - offset, _TRANSMIT_MAX)
        code = winsock.transmit(self.handle.fd, self.overlapped, file, offset, count)
        if code == winsock.NOT_CONNECTED:
            self.handle.sock.send(b"")  # it raises the reason if there was a connection
        return code


class Room(Request):
    """A wait for room. It completes when a send would not block."""

    __slots__ = ()

    def begin(self) -> int:
        self.memory.append(ffi.new("AFD_POLL *"))
        return winsock.poll_writable(self.handle.fd, self.overlapped, self.memory[-1])

    def end(self, status: int, count: int) -> None:
        self.handle.poller.report(self.handle, WRITABLE)
