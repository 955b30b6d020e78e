"""The Windows poller: overlapped calls on an I/O completion port.

A socket is associated with the port when an operation on it first has to wait. It stays associated unless Windows has
FileReplaceCompletionInformation. A packet is identified by the address of its OVERLAPPED, never by the socket. So a
call that was in flight at a close cannot reach a later socket with the same number. An OVERLAPPED, and the memory that
it points to, stays allocated until its packet has arrived.
"""

from __future__ import annotations

import math
import socket
import weakref
from collections.abc import Callable
from typing import Any

from ..lock import lock
from ..operation import CLOSED, FINISHED, FORKED, PARKED
from ..readiness import handle as readiness
from ..readiness import winattempts
from ..readiness.interface import READABLE, WRITABLE
from ..readiness.sharing import ShareableEngine, SharedEngine
from . import winsock
from .overlapped import Accept, Receive, Request, Room, is_listening
from .winhandles import REQUESTS, IocpHandle, accept
from .winsock import ffi

_PACKETS_MAX = 256
_ACCEPTS_IN_FLIGHT = 4
_DRAIN_S = 5.0
_ASK_AGAIN_S = 0.02
_SOON_S = 0.1


_ports: weakref.WeakSet[Iocp] = weakref.WeakSet()


class Iocp(ShareableEngine):
    """An I/O completion port. `fileno()` is its handle."""

    name = "iocp"
    handle_class = IocpHandle

    def __init__(self) -> None:
        self._port = winsock.create_port()
        self._requests: dict[int, Request] = {}
        self._memory: dict[int, list[Any]] = {}  # of the requests; it may have to outlive this object
        self._close_port = weakref.finalize(self, _close_port, self._port, self._memory)
        self._close_port.atexit = False  # a function of atexit may still run a loop
        self._packets = ffi.new("OVERLAPPED_ENTRY[]", _PACKETS_MAX)
        self._packets_count = ffi.new("DWORD *")
        self._packets_seen = 0
        self._at_once: list[Request] = []
        self._asked: dict[Request, None] = {}  # requests that the kernel was asked to cancel
        self._edges: list[tuple[int, int]] = []
        self._reported: list[IocpHandle] = []
        super().__init__()
        _ports.add(self)
        self._waker = IocpHandle(self, self._wake_receiver, True)

    # What the engine calls.

    def arm(self, handle: readiness.Handle, bit: int) -> None:
        assert isinstance(handle, IocpHandle)
        if not handle.associated:
            self._associate(handle)
        if bit == WRITABLE:
            writing = handle.writing
            kind = REQUESTS.get(writing.attempt, Room) if handle.is_stream else Room
            writing.request = self._start(kind(handle, writing))
        elif handle.reading.attempt in (accept, winattempts.wait_readable) and is_listening(handle.sock):
            self._accept_ahead(handle)
        elif handle.reading.attempt is accept:
            raise winsock.error_of_code(winsock.INVALID_ARGUMENT)
        else:
            self._start(Receive(handle, handle.reading))

    def admit(self, sock: socket.socket, drains: bool) -> readiness.Handle:
        stale = self._handles.get(sock.fileno())
        handle = super().admit(sock, drains)
        if isinstance(stale, IocpHandle) and stale.associated is not False:
            assert isinstance(handle, IocpHandle)
            handle.associated = None  # it may be the same socket
        return handle

    def _accept_ahead(self, handle: IocpHandle) -> None:
        while handle.accepting < _ACCEPTS_IN_FLIGHT:
            try:
                self._start(Accept(handle, handle.reading))
            except OSError:
                if not handle.accepting:
                    raise
                return  # those in flight are enough

    def forget(self, handle: readiness.Handle) -> None:
        super().forget(handle)
        assert isinstance(handle, IocpHandle)
        if handle.in_flight and handle.shares:
            for request in [request for request in self._requests.values() if request.handle is handle]:
                winsock.cancel(handle.fd, request.overlapped)  # those of the duplicate go on
        elif handle.in_flight:
            winsock.cancel(handle.fd)

    def disown(self, fd: int) -> None:
        """Do nothing: forget() cancels the requests."""

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        with lock:
            self._arm_again()
            if self._edges or self._at_once or self._finished:
                timeout_s = 0
            if self._asked and (timeout_s is None or timeout_s > _ASK_AGAIN_S):
                timeout_s = _ASK_AGAIN_S
        if self._packets_seen == self._packets_count[0]:
            timeout_ms = 0xFFFFFFFF if timeout_s is None else math.ceil(timeout_s * 1000)
            winsock.packets(self._port, self._packets, min(limit, _PACKETS_MAX), self._packets_count, timeout_ms)
            self._packets_seen = 0
        with lock:
            if self._asked and not self._packets_count[0]:
                self._ask_again()
            self._take()
            edges, self._edges = self._edges, []
            return edges

    def rouse(self) -> None:
        winsock.post(self._port)

    def fileno(self) -> int:
        if self._shut:
            raise ValueError("this iocp poller has been shut down")
        return int(ffi.cast("uintptr_t", self._port))

    def release(self) -> None:
        give_up = self.now() + _DRAIN_S
        self.drain(lambda: bool(self._requests) and self.now() < give_up)
        self._close_port()
        self._reported.clear()
        if not self._waker.in_flight:
            self._waker.leave()
        del self._waker  # it refers to this object and would keep it alive

    # What requests report.

    def report(self, handle: IocpHandle, bit: int) -> None:
        """Something has happened in this direction: attempt its operation again, if there is one."""
        if handle is self._waker or self._handles.get(handle.fd) is handle:
            self._edges.append((handle.fd, bit))
            self._reported.append(handle)

    def conclude(self, side: readiness.Direction, value: Any = None, error: BaseException | None = None) -> None:
        """End the operation parked here with a result or an error."""
        if error is not None:
            side.fail(error)
        else:
            side.value = value
            side.state = FINISHED | side.state & (CLOSED | FORKED)
        self._events += 1
        self._finished.append(side.waiter)

    def ask_to_end(self, request: Request) -> None:
        """Ask the kernel to cancel a call. Its packet still arrives."""
        winsock.cancel(request.handle.fd, request.overlapped)
        self._asked[request] = None
        self.wakeup()

    def _ask_again(self) -> None:
        """Cancel again after a wait without packets: Wine loses a cancel that comes while a part is being sent."""
        for request in self._asked:
            if request.handle.fd >= 0:
                winsock.cancel(request.handle.fd, request.overlapped)

    def end_accepts(self, handle: IocpHandle) -> None:
        """Cancel the accepts in flight. They end before this returns, unless another OS thread takes the packets."""
        winsock.cancel(handle.fd)
        if not self._waiting and not isinstance(self, SharedEngine):
            give_up = self.now() + _SOON_S
            self.drain(lambda: handle.accepting > 0 and self.now() < give_up)

    def drain(self, more: Callable[[], bool]) -> None:
        """Take packets while `more()` returns True. The next poll() returns what they have finished."""
        self._waiting = True
        try:
            while True:  # so that the jump back is inside the block
                if not more():
                    break
                if self._packets_seen == self._packets_count[0]:
                    winsock.packets(self._port, self._packets, _PACKETS_MAX, self._packets_count, 50)
                    self._packets_seen = 0
                self._take()
        finally:
            self._waiting = False

    def _associate(self, handle: IocpHandle) -> None:
        begun, handle.associated = handle.associated is None, None  # a signal handler may have raised after the call
        code = winsock.associate(self._port, handle.fd)
        if code == winsock.ASSOCIATED_ALREADY and not begun:
            code = self._associate_duplicate(handle)
        if code and not (begun and code == winsock.ASSOCIATED_ALREADY):
            handle.associated = False
            raise winsock.error_of_code(code)
        handle.associated = True
        # A datagram that does not fit sends a packet in any case, so only streams skip packets.
        handle.skips = handle.is_stream and winsock.skip_on_success(handle.sock)

    def _associate_duplicate(self, handle: IocpHandle) -> int:
        """Share the port with a duplicate of the socket: the port belongs to the open file. Returns a code.

        If the duplicate is closed by now, the port may be that of another poller, so the file gets this one.
        """
        for port in list(_ports):
            for other in list(port._handles.values()):
                if other is handle or not isinstance(other, IocpHandle) or not other.associated:
                    continue
                if winsock.are_duplicates(other.fd, handle.fd):
                    if port is not self:
                        return winsock.ASSOCIATED_ALREADY
                    handle.shares = other.shares = True
                    return 0
        handle.shares = True
        return winsock.associate(self._port, handle.fd) if winsock.dissociate(handle.fd) else winsock.ASSOCIATED_ALREADY

    def _start(self, request: Request) -> Request:
        """Make the call. Raises OSError if it has failed at once; then there is no packet."""
        key = int(ffi.cast("uintptr_t", request.overlapped))
        handle = request.handle
        self._requests[key] = request  # before the call: another OS thread may take the packet
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
        self._asked.pop(request, None)
        request.handle.in_flight -= 1

    def _take(self) -> None:
        """Process the packets. Each is counted after it was processed: a signal handler may raise in between."""
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
        """Start new requests for operations that were reported but are still parked after their attempt."""
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
        _unreturned.append(memory)  # the kernel may write to it until the process ends
    winsock.close(port)
