"""Requests: overlapped calls, and all that the kernel may touch until their packets have come.

A request that receives asks for nothing but a sign: the attempt is made again then, so that giving up loses nothing.
One that accepts, connects or sends is done by the kernel, and its packet is the operation's outcome. A request belongs
to the kernel from begin() to end(): whoever gives up meanwhile asks for its end, and lets go of nothing. This file
knows handles and the port by the protocols below only.
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

# What the kernel is given at a time; a cancelled send or sendfile tells how much of it has gone.
_SEND_MAX = 1 << 30
_COPY_MAX = _TRANSMIT_MAX = 1 << 20


def is_listening(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_STREAM and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class Port(Loop, Protocol):
    """The poller, as a request knows it: see Iocp."""

    def report(self, handle: Any, bit: int) -> None:
        """Something has happened in this direction: have its operation, if there is one, attempted again."""

    def conclude(self, side: Direction, value: Any = None, error: BaseException | None = None) -> None:
        """The operation parked here is over."""


class ReadingHalf(Half, Protocol):
    def accepts_have_ended(self) -> None:
        """None is in flight any more, as cancel() has asked for."""


class WritingHalf(Half, Protocol):
    def outcome_of(self, request: Request, value: Any = None, error: OSError | None = None) -> None:
        """A request has ended. Its outcome is the operation's, if that one still waits."""


class Associated(Attempting, Protocol):
    """A handle, as a request knows it: see IocpHandle."""

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
    consumes = False  # giving up the wait takes a cancel of the call, and its outcome counts

    def __init__(self, handle: Associated, side: Direction) -> None:
        self.handle = handle
        self.side = side
        self.attempt: Callable[[Any, Any], Any] | None = side.attempt
        self.overlapped = ffi.new("OVERLAPPED *")
        self.memory: list[Any] = [self.overlapped]

    def begin(self) -> int:
        """Make the call; return Winsock's code."""
        raise NotImplementedError

    def end(self, status: int, count: int) -> None:
        """The packet has come: pass on what it says."""
        raise NotImplementedError


class Receive(Request):
    """Of 0 bytes: done when there is something to receive."""

    __slots__ = ()
    bit = READABLE

    def begin(self) -> int:
        handle = self.handle
        code = winsock.receive_nothing(handle.fd, self.overlapped, peek=not handle.is_stream)
        # A datagram does not fit into nothing. That is a warning only: its packet comes.
        return winsock.PENDING if code == winsock.MESSAGE_TOO_LONG else code

    def end(self, status: int, count: int) -> None:
        poller = self.handle.poller
        if winsock.failed(status) and self.side.parked:
            poller.conclude(self.side, error=winsock.error_of_status(status))
        else:
            poller.report(self.handle, READABLE)


class Accept(Request):
    """Into a socket made beforehand. Its connection is kept for whoever accepts next."""

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
            # One client has left, and the listener is well.
            lost = error.errno in THIS_CONNECTION or error.errno == errno.ECANCELED
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
    """To the address that the direction's operation has."""

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
            self.any_port = False  # it has been bound
        address = winsock.sockaddr(sock.family, self.side.value)
        self.memory.append(ffi.new("char[]", address))
        code = winsock.connect(self.handle.fd, self.overlapped, self.memory[-1], len(address))
        if code == winsock.INVALID_ARGUMENT and is_listening(sock):
            return winsock.CONNECTED_ALREADY  # which is what others say of a listener
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
    """Of the rest, with its buffer pinned; one packet when the kernel has it all."""

    __slots__ = ()
    consumes = True

    def begin(self) -> int:
        data = self.side.value
        if not isinstance(data, bytes):  # which may be changed, and made shorter, as soon as its sender has been told
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
    """Of a part of a file."""

    __slots__ = ()

    def begin(self) -> int:
        file, offset, count = self.side.value
        count = min(count, os.fstat(file).st_size - offset, _TRANSMIT_MAX)
        code = winsock.transmit(self.handle.fd, self.overlapped, file, offset, count)
        if code == winsock.NOT_CONNECTED:
            self.handle.sock.send(b"")  # which knows why not, where it was
        return code


class Room(Request):
    """For a send: done when it would not block."""

    __slots__ = ()

    def begin(self) -> int:
        self.memory.append(ffi.new("AFD_POLL *"))
        return winsock.poll_writable(self.handle.fd, self.overlapped, self.memory[-1])

    def end(self, status: int, count: int) -> None:
        self.handle.poller.report(self.handle, WRITABLE)
