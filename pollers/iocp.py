"""The Windows poller: overlapped calls on an I/O completion port.

A socket is associated with the port when an operation on it first has to wait, and stays so: Windows lets go of one
only where it has FileReplaceCompletionInformation. A packet is known by the address of its OVERLAPPED, never by the
socket, so nothing that was in flight at a close reaches a successor with the same number. No OVERLAPPED, and nothing
that it points to, is freed before its packet has come.
"""

from __future__ import annotations

import errno
import functools
import io
import math
import os
import socket
import stat
import time
import weakref
from collections.abc import Generator
from typing import Any

from . import attempts, readiness, winsock
from .engine import Engine
from .locking import lock
from .operation import CANCELLING, CLOSED, FINISHED, FORKED, PARKED, Address, Closed, Operation, unwatched
from .overlapped import Accept, Connect, Receive, Request, Room, Send, Transmit, is_listening
from .readiness import READABLE, WRITABLE
from .sharing import SharedEngine
from .winsock import ffi

_PACKETS_MAX = 256
_ACCEPTS_IN_FLIGHT = 4
_DRAIN_S = 5.0


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
        raise io.UnsupportedOperation("no sendfile from this file")
    if offset >= info.st_size or not count:
        return 0
    raise BlockingIOError


# What the kernel is asked for when an operation has to wait. Of any other: for a sign, and then it is attempted again.
_REQUESTS: dict[Any, type[Request]] = {attempts.send: Send, connect: Connect, sendfile: Transmit}


class _Asked(readiness.Direction):
    """A half whose operation may have been asked to end, and waits for what the kernel says."""

    __slots__ = ()

    @property
    def parked(self) -> bool:
        return bool(self.state & (PARKED | CANCELLING))


class Reading(_Asked, readiness.Reading):
    """The reading half: what it waits for consumes nothing, but for accepts, whose connections are kept."""

    __slots__ = ("asked",)

    def __init__(self, handle: IocpHandle) -> None:
        super().__init__(handle)
        self.asked: BaseException | None = None  # what to end with if the kernel has accepted nobody

    def cancel(self, error: BaseException, /) -> bool:
        handle: IocpHandle = self.handle  # type: ignore[assignment]
        if self.state != PARKED or self.attempt is not accept or not handle.accepting:
            return super().cancel(error)
        self.asked = error
        self.state = CANCELLING
        winsock.cancel(handle.fd)
        return False

    def accepts_have_ended(self) -> None:
        """None is in flight any more, as cancel() has asked for. Whoever has come meanwhile is accepted."""
        asked, self.asked = self.asked, None
        poller: Iocp = self.handle.poller  # type: ignore[assignment]
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
    """The writing half: what the kernel has begun to send ends when it says so."""

    __slots__ = ("asked", "request")

    def __init__(self, handle: IocpHandle) -> None:
        super().__init__(handle)
        self.request: Request | None = None
        self.asked: BaseException | None = None  # what to end with if the kernel can be stopped

    def cancel(self, error: BaseException, /) -> bool:
        if self.state != PARKED or self.request is None or not self.request.consumes:
            return super().cancel(error)
        self.asked = error
        self.state = CANCELLING
        winsock.cancel(self.handle.fd, self.request.overlapped)
        return False

    def abandon(self) -> None:
        if self.parked and self.request is not None and self.request.consumes:
            winsock.cancel(self.handle.fd, self.request.overlapped)
            self.request = None
            self.ready = False  # nothing is sent before what may still be going out
        super().abandon()

    def outcome_of(self, request: Request, value: Any = None, error: OSError | None = None) -> None:
        """A request has ended. Its outcome is the operation's, if that one still waits."""
        ours = self.request is request
        if ours:
            self.request = None
        asked, self.asked = self.asked, None
        poller: Iocp = self.handle.poller  # type: ignore[assignment]
        if not ours or not self.parked or self.attempt is not request.attempt:
            poller.report(request.handle, WRITABLE)
        elif error is not None and error.errno == errno.ECANCELED and self.state & CANCELLING:
            poller.conclude(self, error=asked)
        else:
            self.ready = True
            poller.conclude(self, value, error)


class IocpHandle(readiness.Handle):
    """A socket, its two directions, and how many requests are in flight for it."""

    __slots__ = ("accepting", "associated", "in_flight", "is_stream", "skips")

    directions = (Reading, Writing)
    poller: Iocp
    reading: Reading
    writing: Writing

    def __init__(self, poller: Iocp, sock: socket.socket, drains: bool) -> None:
        super().__init__(poller, sock, drains)
        self.is_stream = drains or sock.type == socket.SOCK_STREAM
        self.associated = False
        self.skips = False  # a call that succeeds at once sends no packet
        self.in_flight = 0
        self.accepting = 0

    @unwatched
    def accept(self, owner: object = None, /) -> Generator[Any, None, tuple[readiness.Handle, Address]]:
        with lock:
            kept = self.poller.kept.get(self)
            if kept and not self.reading.state:
                return kept.pop(0)  # also when somebody asks for an end: it has been accepted
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
            raise io.UnsupportedOperation(
                "this system does not let go of a socket that has waited on a completion port"
            )
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
        with socket.socket() as sock:
            winsock.associate(port, sock.fileno())
            return winsock.dissociate(sock.fileno())
    finally:
        winsock.close(port)


class Iocp(Engine):
    """An I/O completion port. `fileno()` is its handle."""

    name = "iocp"
    handle_class = IocpHandle

    def __init__(self) -> None:
        self._port = winsock.create_port()
        self._requests: dict[int, Request] = {}
        self._memory: dict[int, list[Any]] = {}  # of the requests: it may have to outlive this object
        self._close_port = weakref.finalize(self, _close_port, self._port, self._memory)
        self._packets = ffi.new("OVERLAPPED_ENTRY[]", _PACKETS_MAX)
        self._packets_count = ffi.new("DWORD *")
        self._packets_seen = 0
        self._at_once: list[Request] = []
        self._edges: list[tuple[int, int]] = []
        self._reported: list[IocpHandle] = []
        super().__init__()
        self._waker = IocpHandle(self, self._wake_receiver, True)

    # What the engine asks for.

    def arm(self, handle: readiness.Handle, bit: int) -> None:
        assert isinstance(handle, IocpHandle)
        if not handle.associated:
            self._associate(handle)
        if bit == WRITABLE:
            writing = handle.writing
            kind = _REQUESTS.get(writing.attempt, Room) if handle.is_stream else Room
            writing.request = self._start(kind(handle, writing))
        elif handle.reading.attempt in (accept, attempts.wait_readable) and is_listening(handle.sock):
            self._accept_ahead(handle)
        elif handle.reading.attempt is accept:
            raise winsock.error_of_code(winsock.INVALID_ARGUMENT)
        else:
            self._start(Receive(handle, handle.reading))

    def _accept_ahead(self, handle: IocpHandle) -> None:
        while handle.accepting < _ACCEPTS_IN_FLIGHT:
            try:
                self._start(Accept(handle, handle.reading))
            except OSError:
                if not handle.accepting:
                    raise
                return  # those in flight will do

    def forget(self, handle: readiness.Handle) -> None:
        super().forget(handle)
        assert isinstance(handle, IocpHandle)
        if handle.in_flight:
            winsock.cancel(handle.fd)

    def disown(self, fd: int) -> None:
        """That is forget()'s."""

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        with lock:
            self._arm_again()
            if self._edges or self._at_once or self._finished:
                timeout_s = 0
        if self._packets_seen == self._packets_count[0]:
            timeout_ms = 0xFFFFFFFF if timeout_s is None else math.ceil(timeout_s * 1000)
            winsock.packets(self._port, self._packets, min(limit, _PACKETS_MAX), self._packets_count, timeout_ms)
            self._packets_seen = 0
        with lock:
            self._take()
            edges, self._edges = self._edges, []
            return edges

    def rouse(self) -> None:
        winsock.post(self._port)

    def fileno(self) -> int:
        return int(ffi.cast("uintptr_t", self._port))

    def release(self) -> None:
        give_up = time.monotonic() + _DRAIN_S
        self.drain(lambda: bool(self._requests) and time.monotonic() < give_up)
        self._close_port()

    # What requests tell.

    def report(self, handle: IocpHandle, bit: int) -> None:
        """Something has happened in this direction: have its operation, if there is one, attempted again."""
        if handle is self._waker or self._handles.get(handle.fd) is handle:
            self._edges.append((handle.fd, bit))
            self._reported.append(handle)

    def conclude(self, side: readiness.Direction, value: Any = None, error: BaseException | None = None) -> None:
        """The operation parked here is over."""
        if error is not None:
            side.end(error)
        else:
            side.value = value
            side.state = FINISHED | side.state & (CLOSED | FORKED)
        self._events += 1
        self._finished.append(side)

    def drain(self, more: Any) -> None:
        """Take packets while `more()` says so; what they tell is for the next poll()."""
        while more():
            if self._packets_seen == self._packets_count[0]:
                winsock.packets(self._port, self._packets, _PACKETS_MAX, self._packets_count, 50)
                self._packets_seen = 0
            self._take()

    def _associate(self, handle: IocpHandle) -> None:
        code = winsock.associate(self._port, handle.fd)
        if code:
            raise winsock.error_of_code(code)
        handle.associated = True
        # A datagram that does not fit sends a packet in either case.
        handle.skips = handle.is_stream and winsock.skip_on_success(handle.sock)

    def _start(self, request: Request) -> Request:
        """Make the call. OSError when it has failed at once: then there is no packet."""
        key = int(ffi.cast("uintptr_t", request.overlapped))
        handle = request.handle
        self._requests[key] = request  # before the call: the packet may be somebody else's to take
        self._memory[key] = request.memory
        handle.in_flight += 1
        try:
            code = request.begin()
            if (code == winsock.SHUT_DOWN and request.bit == READABLE) or (code == 0 and handle.skips):
                self._at_once.append(request)
                if self._waiting:
                    self.rouse()
            elif code not in (0, winsock.PENDING):
                raise winsock.error_of_code(code)
        except BaseException:
            self._let_go(request)
            raise
        return request

    def _let_go(self, request: Request) -> None:
        key = int(ffi.cast("uintptr_t", request.overlapped))
        del self._requests[key], self._memory[key]
        request.handle.in_flight -= 1

    def _take(self) -> None:
        """Pass on what the packets say. Each is counted when that is done: a signal handler may raise in between."""
        while self._at_once:
            self._complete(self._at_once.pop())
        while self._packets_seen < self._packets_count[0]:
            overlapped = self._packets[self._packets_seen].lpOverlapped
            request = self._requests.get(int(ffi.cast("uintptr_t", overlapped)))
            if request is not None and overlapped.Internal != winsock.STATUS_PENDING:
                self._complete(request)
            self._packets_seen += 1

    def _complete(self, request: Request) -> None:
        self._let_go(request)
        request.handle.armed &= ~request.bit
        request.end(request.overlapped.Internal & 0xFFFFFFFF, request.overlapped.InternalHigh)

    def _arm_again(self) -> None:
        """Ask anew for what was reported and attempted in vain."""
        if not self._waker.armed & READABLE:
            self.arm(self._waker, READABLE)
            self._waker.armed |= READABLE
        reported, self._reported = self._reported, []
        for handle in reported:
            for side in (handle.reading, handle.writing):
                if side.state == PARKED and not handle.armed & side.bit:
                    try:
                        self.arm(handle, side.bit)
                    except OSError as error:
                        self.conclude(side, error=error)
                    else:
                        handle.armed |= side.bit


_unreturned: list[dict[int, list[Any]]] = []


def _close_port(port: Any, memory: dict[int, list[Any]]) -> None:
    if memory:
        _unreturned.append(memory)  # the kernel may write to it as long as the process lives
    winsock.close(port)
