"""A poller with sockets in memory, and with a clock that stands still until all threads wait. It needs no kernel.

It knows just enough of TCP for programs on the loopback interface: listen, connect, accept, send, receive, half-close.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from collections import deque
from collections.abc import Collection
from typing import Any

from pollers.readiness.interface import READABLE, WRITABLE
from pollers.readiness.sharing import ShareableEngine

ROOM = 1000  # bytes in flight in one direction
FIRST_NUMBER = 1_000_000  # higher than any descriptor of the kernel
STARTS_AT_S = 500.0


class Wire:
    """The bytes in one direction of a connection."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.lost = False  # the receiver has gone


class Sock:
    """A socket in memory, with the interface of socket.socket."""

    def __init__(self, net: Net, family: int, type: int, proto: int) -> None:
        self.net, self.family, self.type, self.proto = net, family, type, proto
        self.number = next(net.numbers)
        self.name: tuple[Any, ...] = ("0.0.0.0", 0)
        self.peer: tuple[Any, ...] | None = None
        self.inward, self.outward = Wire(), Wire()
        self.queue: deque[Sock] | None = None  # of a listener
        self.options: dict[tuple[int, int], Any] = {}
        net.socks[self.number] = self

    def fileno(self) -> int:
        return self.number

    def setblocking(self, flag: bool) -> None:
        assert not flag or self.number < 0

    def getsockname(self) -> Any:
        self._check()
        return self.name

    def getpeername(self) -> Any:
        self._check()
        if self.peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self.peer

    def getsockopt(self, level: int, option: int, length: int = 0) -> Any:
        self._check()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return int(self.queue is not None)
        if (level, option) == (socket.SOL_SOCKET, socket.SO_TYPE):
            return self.type
        value = self.options.get((level, option), 0)
        return self.number.to_bytes(length, "little") if length == 8 else bytes(length) if length else value

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self._check()
        self.options[level, option] = value

    def bind(self, address: tuple[Any, ...]) -> None:
        self.name = (address[0], address[1] or next(self.net.ports))

    def listen(self, backlog: int) -> None:
        self.queue = self.net.listeners[self.name] = deque()

    def connect_ex(self, address: tuple[Any, ...]) -> int:
        self._check()
        if self.peer is not None:
            return errno.EISCONN
        queue = self.net.listeners.get(tuple(address))
        if queue is None:
            return errno.ECONNREFUSED
        there = Sock(self.net, self.family, self.type, self.proto)
        self.name = ("127.0.0.1", next(self.net.ports))
        self.peer, there.peer, there.name = tuple(address), self.name, tuple(address)
        self.inward, self.outward = there.outward, there.inward
        queue.append(there)
        return 0

    def accept(self) -> tuple[Sock, Any]:
        self._check()
        assert self.queue is not None
        if not self.queue:
            raise BlockingIOError(errno.EAGAIN, "nobody has connected")
        there = self.queue.popleft()
        return there, there.peer

    def recv(self, n: int, flags: int = 0) -> bytes:
        self._check()
        if not self.inward.data and not self.inward.ended:
            raise BlockingIOError(errno.EAGAIN, "nothing has arrived")
        data = bytes(self.inward.data[:n])
        if not flags & socket.MSG_PEEK:
            del self.inward.data[:n]
        return data

    def recv_into(self, buffer: Any, n: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        data = self.recv(n or len(view))
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        self._check()
        if self.outward.lost or self.outward.ended:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        room = ROOM - len(self.outward.data)
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, "no room")
        piece = memoryview(data).cast("B")[:room]
        self.outward.data += piece
        return len(piece)

    def shutdown(self, how: int) -> None:
        self.getpeername()
        if how != socket.SHUT_WR:
            self.inward.lost = True
        if how != socket.SHUT_RD:
            self.outward.ended = True

    def close(self) -> None:
        if self.number in self.net.socks:
            del self.net.socks[self.number]
            self.inward.lost = self.outward.ended = True
            if self.queue is not None:
                del self.net.listeners[self.name]
                for there in self.queue:
                    there.close()
        self.number = -1

    def detach(self) -> int:
        number, self.number = self.number, -1
        return number

    def readable(self) -> bool:
        return bool(self.queue if self.queue is not None else self.inward.data or self.inward.ended)

    def writable(self) -> bool:
        return self.outward.lost or len(self.outward.data) < ROOM

    def _check(self) -> None:
        if self.number < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def __enter__(self) -> Sock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Net:
    """All sockets, by their numbers."""

    def __init__(self) -> None:
        self.numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER + 10_000))
        self.ports = iter(range(40_000, 50_000))
        self.socks: dict[int, Sock] = {}
        self.listeners: dict[tuple[Any, ...], deque[Sock]] = {}


class WithoutKernel(ShareableEngine):
    """A poller of sockets in memory."""

    name = "without kernel"

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.time_s = STARTS_AT_S

    def now(self) -> float:
        return self.time_s

    def socket(self, family: int, type: int, proto: int, /) -> Any:  # type: ignore[override]
        return Sock(self.net, family, type, proto)

    def socketpair(self, family: int, type: int, proto: int, /) -> Any:
        raise OSError(errno.EOPNOTSUPP, "no pairs")

    def adopt(self, fileno: int, /) -> Any:
        return self.net.socks[fileno]

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        socks = self.net.socks
        return (
            {fd for fd in reading if fd in socks and socks[fd].readable()},
            {fd for fd in writing if fd in socks and socks[fd].writable()},
        )

    def file(self, fileno: int, /) -> Any:
        raise io.UnsupportedOperation("there is no kernel")

    def foreign(self, fileno: int, writing: bool, /) -> Any:
        raise io.UnsupportedOperation("there is no kernel")

    def arm(self, handle: Any, bit: int) -> None:
        assert handle.fd in self.net.socks

    def disown(self, fd: int) -> None:
        pass

    def rouse(self) -> None:
        pass

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        edges = []
        for fd, handle in self._handles.items():
            bits = READABLE * (handle.reading.parked and self.net.socks[fd].readable())
            bits |= WRITABLE * (handle.writing.parked and self.net.socks[fd].writable())
            if bits:
                edges.append((fd, bits))
        if not edges and timeout_s:
            assert timeout_s < 3600, "everybody waits, and nobody for a time"
            self.time_s += timeout_s + 1e-9
        return edges[:limit]
