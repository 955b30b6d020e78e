"""Receiving from a socket directly: recv(), by threads that stand in line. What one takes is not emitted.

Knows what has come and who waits for it. Who makes it come is told to look again.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self

from pollers import Closed, operation

from ..threads.lock import lock
from ..threads.thread import over_at_once
from ..threads.wait import Wait, alike
from .connection import Connection

CHUNK = 65536


class Receiving(Connection):
    """What has come, and the threads that take it."""

    def _start_receiving_over(self) -> None:
        """As before the first connection."""
        self._chunks: list[bytes] = []
        self._unread = 0
        self._receivers: list[Wait] = []
        self._eof = False
        self._ended_by: BaseException | None = None  # for a recv() that comes after it

    @operation
    def recv(self, n: int = CHUNK) -> Generator[Any, None, bytes]:
        """Receive 1 to `n` bytes, b'' at the end; also of a paused socket, and before it is connected.

        What recv() takes is not emitted. Cancelled or out of time: nothing was taken. Raises what ended the connection,
        Closed when that was destroy(). ValueError unless `n` is positive.
        """
        if n < 1:
            raise ValueError(f"the number of bytes to receive is positive, not {n}")
        wait: Wait | None = over_at_once()
        if wait is not None:
            yield from wait.wait()
            wait = None
        try:
            while isinstance(got := self._pull(n, wait), Wait):
                wait = got
                yield from wait.wait()
        finally:
            if wait is not None:
                self._leave_line(wait)
        self._took(not got)
        return got

    def _pull(self, n: int, before: Wait | None) -> bytes | Wait:
        """Take what there is; if that is nothing, or others have waited longer, get into the line: `before`'s place."""
        with lock:
            if self._chunks and (before is not None or not self._receivers):
                return self._take(n)
            if self._eof and not self._chunks:
                return b""
            if self.destroyed:
                raise alike(self._ended_by) if self._ended_by is not None else Closed()
            wait = Wait(f"recv on {self!r}")
            if before in self._receivers:
                self._receivers[self._receivers.index(before)] = wait
            else:
                self._receivers.append(wait)
            if self._chunks:
                self._call_next()
        self._wanted()
        return wait

    def _leave_line(self, wait: Wait) -> None:
        with lock:
            if wait in self._receivers:
                self._receivers.remove(wait)
            if self._chunks or self._eof:
                self._call_next()
        self._wanted()

    def _take(self, n: int) -> bytes:
        data = self._chunks[0]
        if len(data) > n:
            self._chunks[0] = data[n:]
            data = data[:n]
        else:
            self._chunks.pop(0)
        self._unread -= len(data)
        return data

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, bytes]:
        data = yield from self.recv()
        if not data:
            raise StopAsyncIteration
        return data

    def _call_next(self) -> None:
        """Wake the first who waits in recv(). It stays in the line until it has taken the data, so nobody else does."""
        for wait in self._receivers:
            if wait.finish():
                return

    def _took(self, the_end: bool) -> None:
        """A thread has taken something, or heard of the end. To be overridden."""

    def _wanted(self) -> None:
        """Another thread waits, or one less. To be overridden."""

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        with lock:
            self._chunks.clear()
            self._unread = 0
            receivers, self._receivers = self._receivers, []
            # Without its traceback, which leads here.
            self._ended_by = None if receivers or error is None else alike(error).with_traceback(None)
        for wait in receivers:
            self._raised |= wait.fail(error if error is not None else Closed())
