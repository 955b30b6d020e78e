"""Sockets on a completion port: what their operations attempt, what they request from the kernel, and how they end.

A receive waits for a signal that there is data, so a cancel loses nothing. Accepts, connects and sends belong to the
kernel. A cancel asks the kernel to end them and waits for the outcome, which is then the outcome of the operation.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import socket
import stat
from collections.abc import Callable, Generator
from typing import Any, Protocol

from ..lock import lock
from ..operation import CANCELLING, FINISHED, PARKED, STREAK_MAX, Address, Closed, Once, Operation
from ..readiness import handle as readiness
from ..readiness import winattempts
from ..readiness.interface import WRITABLE
from ..readiness.sharing import SharedEngine
from . import winsock
from .overlapped import Connect, Port, Request, Send, Transmit


class HandlesPort(Port, Protocol):
    """The poller, as a handle knows it. See Iocp."""

    def ask_to_end(self, request: Request) -> None:
        """Ask the kernel to cancel a call. Its packet still arrives."""

    def end_accepts(self, handle: IocpHandle) -> None:
        """Cancel the accepts in flight."""

    def drain(self, more: Callable[[], bool]) -> None:
        """Take packets while `more()` returns True. The next poll() returns what they have finished."""


def accept(handle: IocpHandle, _: None) -> tuple[Any, Address]:
    kept = handle.poller.kept.get(handle)
    if kept:
        return kept.pop(0)
    raise BlockingIOError


def connect(handle: IocpHandle, address: Address) -> None:
    if not handle.is_stream:
        return handle.sock.connect(address)
    raise BlockingIOError


def sendfile(handle: IocpHandle, argument: tuple[int, int, int]) -> int:
    fd, offset, count = argument
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or not handle.is_stream:
        raise io.UnsupportedOperation("sendfile cannot send this file")
    if offset >= info.st_size or not count:
        return 0
    raise BlockingIOError


# The requests that are made if one of these operations of a stream has to wait. Any other operation waits for a signal.
REQUESTS: dict[Any, type[Request]] = {winattempts.send: Send, connect: Connect, sendfile: Transmit}


class _Asked(readiness.Direction):
    """A direction whose operation may have been cancelled and still waits for the kernel's answer."""

    __slots__ = ()

    asked: BaseException | None  # the error of that cancel
    handle: IocpHandle

    @property
    def parked(self) -> bool:
        return bool(self.state & (PARKED | CANCELLING))

    def close(self) -> None:
        asked = self.asked if self.state & CANCELLING else None
        super().close()
        if asked is not None:
            self.value = asked  # the cancel came first


class Reading(_Asked, readiness.Reading):
    """The reading direction. Its waits consume nothing, except accepts, whose connections are kept."""

    __slots__ = ("asked",)

    def __init__(self, handle: IocpHandle) -> None:
        super().__init__(handle)
        self.asked: BaseException | None = None  # the error to end with if the kernel has accepted no connection

    def let_others_run(self, attempt: Callable[[Any, Any], Any] | None) -> Generator[Any, None, None]:
        """Do the same as other directions, unless the kernel is accepting: then an accept must wait for the outcome.

        Such an accept takes a connection that is kept, or waits. A cancel that comes first ends a wait, not a pass.
        """
        if attempt is not accept or not self.handle.accepting:
            yield from super().let_others_run(attempt)

    def cancel(self, error: BaseException, /) -> bool:
        handle = self.handle
        if self.state != PARKED or self.attempt is not accept:
            return super().cancel(error)
        if handle.poller.kept.get(handle):
            return False  # its event is on its way
        if not handle.accepting:
            return super().cancel(error)
        self.asked = error
        self.state = CANCELLING
        handle.poller.end_accepts(handle)
        return self.error is error and handle.poller.not_finished(self)

    def accepts_have_ended(self) -> None:
        """End a cancelled accept, since no accept is in flight any more. A connection that arrived is delivered."""
        asked, self.asked = self.asked, None
        poller = self.handle.poller
        kept = poller.kept.get(self.handle)
        if kept:
            poller.conclude(self, kept.pop(0))
        else:
            poller.conclude(self, error=asked)

    def abandon(self) -> None:
        if self.state & FINISHED and self.attempt is accept and self.error is None:
            self.handle.keep(self.value)
        super().abandon()


class Writing(_Asked, readiness.Writing):
    """The writing direction. A send that the kernel has begun ends only when the kernel reports its end."""

    __slots__ = ("asked", "request")

    def __init__(self, handle: IocpHandle) -> None:
        super().__init__(handle)
        self.request: Request | None = None
        self.asked: BaseException | None = None  # the error to end with if the kernel can stop

    def cancel(self, error: BaseException, /) -> bool:
        if self.state != PARKED or self.request is None or not self.request.consumes:
            return super().cancel(error)
        self.asked = error
        self.state = CANCELLING
        self.handle.poller.ask_to_end(self.request)
        return False

    def abandon(self) -> None:
        if self.parked and self.request is not None and self.request.consumes:
            self.handle.poller.ask_to_end(self.request)
            self.request = None
            self.ready = False  # wait until the abandoned send is over, so that data stays in order
        super().abandon()

    def outcome_of(self, request: Request, value: Any = None, error: OSError | None = None) -> None:
        """A request has ended. Its outcome becomes the operation's, if that operation still waits."""
        ours = self.request is request
        if ours:
            self.request = None
        asked, self.asked = self.asked, None
        poller = self.handle.poller
        if not ours or not self.parked or self.attempt is not request.attempt:
            poller.report(request.handle, WRITABLE)
        elif error is not None and error.errno == errno.ECANCELED and self.state & CANCELLING:
            poller.conclude(self, error=asked)
        else:
            self.ready = True
            poller.conclude(self, value, error)


class IocpHandle(readiness.Handle):
    """A socket, its two directions, and the number of its requests in flight."""

    __slots__ = ("accepting", "associated", "in_flight", "is_stream", "shares", "skips")

    directions = (Reading, Writing)
    poller: HandlesPort
    reading: Reading
    writing: Writing

    def __init__(self, poller: HandlesPort, sock: socket.socket, drains: bool) -> None:
        super().__init__(poller, sock, drains)
        self.is_stream = drains or sock.type == socket.SOCK_STREAM
        self.associated: bool | None = False  # None: in progress, or unknown
        self.shares = False  # True: a duplicate has the same open file, and perhaps requests of its own
        self.skips = False  # True: a call that succeeds at once sends no packet
        self.in_flight = 0
        self.accepting = 0

    def accept(self, owner: object = None, /) -> Operation[tuple[readiness.Handle, Address]]:
        return Once(self._accept(owner))

    def _accept(self, owner: object) -> Generator[Any, None, tuple[readiness.Handle, Address]]:
        with lock:
            kept = self.poller.kept.get(self)
            if kept and not self.reading.state:
                self.poller.streak = min(self.poller.streak + 1, STREAK_MAX)
                return kept.pop(0)  # even if the operation is cancelled: the connection has been accepted
            self.reading.ready = True  # whoever must let others run does so before the kernel is asked, not after
        accepted: tuple[readiness.Handle, Address] = yield from self.reading.operate(accept, None, owner)
        return accepted

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        self.writing.ready = True
        return self.writing.operate(connect, address, owner)

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        return self.writing.operate(sendfile, (fd, offset, count), owner)

    def detach(self) -> socket.socket:
        if self.fd < 0:
            raise Closed()
        if not self.associated:
            return super().detach()
        if not _sockets_can_leave():
            raise io.UnsupportedOperation("this system cannot release a socket that has waited on a completion port")
        if isinstance(self.poller, SharedEngine):
            raise io.UnsupportedOperation("a socket that has waited cannot leave a port that several OS threads serve")
        poller, fd = self.poller, self.fd
        sock = super().detach()
        poller.drain(lambda: self.in_flight > 0)
        winsock.dissociate(fd)
        return sock


@functools.cache
def _sockets_can_leave() -> bool:
    port = winsock.create_port()
    try:
        with winsock.Fresh() as sock:
            winsock.associate(port, sock.fileno())
            return winsock.dissociate(sock.fileno())
    finally:
        winsock.close(port)
