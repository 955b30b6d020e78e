"""The writing half of asyncio's stream transport, on a handle of a poller.

What the kernel does not take at once waits in a buffer, which a generator sends. It goes on while the program writes
more, or gives the connection up. The private names are those by which asyncio's own loop knows its transports.
"""

from __future__ import annotations

import collections
import socket
from asyncio import constants, transports
from asyncio.log import logger
from collections.abc import Generator
from typing import Any

from pollers import Direction, Handle, bytes_sent

# Pieces that wait to be sent are sent together up to this size.
_JOINED_MAX = 65536

_FlowControl: Any = vars(transports)["_FlowControlMixin"]


class _Suspended:
    """What a side yields that something other than the poller resumes."""

    def park(self, waiter: object) -> bool:
        return False


class _Pass:
    """What a side yields to let the rest of the loop run first."""

    def park(self, waiter: object) -> bool:
        return True


SUSPENDED = _Suspended()
PASS = _Pass()


class _Withdrawn(Exception):
    """Ends an operation that has to wait. A send then says how far it came."""


class Writing(_FlowControl, transports.Transport):  # type: ignore[misc]
    """What a transport does until its connection is lost, except for reading."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_conn_lost",
        "_empty_waiter",
        "_eof",
        "_handle",
        "_protocol",
        "_size",
        "_writing",
    )

    _loop: Any
    _handle: Handle | None

    def __init__(self, loop: Any, handle: Handle, extra: Any) -> None:
        self._handle = handle  # first, for __del__()
        set_up: Any = super().__init__
        set_up(extra, loop)
        self._buffer: collections.deque[bytes | memoryview] = collections.deque()
        self._size = 0  # of what is in the buffer
        self._closing = self._eof = False
        self._conn_lost = 0  # set once connection_lost() is to be called
        self._empty_waiter: Any = None
        self._writing: Any = None
        self._protocol: Any = None

    def _call_connection_lost(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def write(self, data: Any) -> None:
        """Send, or keep what the kernel does not take now. A bytearray or memoryview may be changed afterwards."""
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if not data:
            return
        if self._conn_lost:
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        if self._buffer:
            self._buffer.append(data)
            self._size += len(data)
        else:
            try:
                steps = iter(self._handle.sendall(data))  # type: ignore[union-attr]
                direction = next(steps, None)
                if direction is None:
                    return
                sent = withdraw(direction, steps)
            except OSError as error:
                self._fatal_error(error, "Fatal write error on socket transport")
                return
            self._buffer.append(memoryview(data)[sent:] if sent else data)
            self._size = len(data) - sent
            self._writing = self._send_buffer()
            self._write()
        self._maybe_pause_protocol()

    def writelines(self, list_of_data: Any) -> None:
        if self._eof:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to writelines; sendfile is in progress")
        self.write(b"".join(list_of_data))

    def _write(self) -> None:
        """Go on sending. poll() returns this method."""
        direction = next(self._writing, SUSPENDED)
        if direction.park(self._write):
            self._loop.call_soon(self._write)

    def _send_buffer(self) -> Generator[Any, None, None]:
        """Send what is in the buffer, and what is put there meanwhile."""
        assert self._handle is not None
        send = self._handle.send
        while self._buffer:
            try:
                n = yield from send(self._first())
            except OSError as error:
                if not self._conn_lost:
                    self._fatal_error(error, "Fatal write error on socket transport")
                    if self._empty_waiter is not None:
                        self._empty_waiter.set_exception(error)
                return
            if self._conn_lost:
                return
            self._sent(n)
            self._maybe_resume_protocol()  # which may write
        if self._empty_waiter is not None:
            self._empty_waiter.set_result(None)
        if self._closing:
            self._call_connection_lost(None)
        elif self._eof:
            self._shut_down()

    def _first(self) -> bytes | memoryview:
        """Return the first piece of the buffer, after joining small ones."""
        buffer = self._buffer
        if len(buffer) > 1 and len(buffer[0]) < _JOINED_MAX:
            pieces = [buffer.popleft()]
            size = len(pieces[0])
            while buffer and size < _JOINED_MAX:
                size += len(buffer[0])
                pieces.append(buffer.popleft())
            buffer.appendleft(b"".join(pieces))
        return buffer[0]

    def _sent(self, n: int) -> None:
        self._size -= n
        piece = self._buffer.popleft()
        if n < len(piece):
            self._buffer.appendleft(memoryview(piece)[n:])

    def get_write_buffer_size(self) -> int:
        return self._size

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._buffer:
            self._shut_down()

    def _shut_down(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    # For asyncio's own loop, which sends files.

    def _make_empty_waiter(self) -> Any:
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._empty_waiter = self._loop.create_future()
        if not self._buffer:
            self._empty_waiter.set_result(None)
        return self._empty_waiter

    def _reset_empty_waiter(self) -> None:
        self._empty_waiter = None

    # Giving up.

    def abort(self) -> None:
        self._force_close(None)

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        if isinstance(error, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=True)
        else:
            context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            self._loop.call_exception_handler(context)
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        if self._conn_lost:
            return
        self._buffer.clear()
        self._size = 0
        self._closing = True
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, error)


def withdraw(direction: Direction, steps: Generator[Any, None, Any]) -> int:
    """End an operation that has to wait. Return how many bytes the kernel has taken, if it is a send."""
    direction.park(None)
    direction.cancel(_Withdrawn())
    try:
        steps.send(None)
    except _Withdrawn as error:
        return bytes_sent(error)
    raise AssertionError("the operation goes on")
