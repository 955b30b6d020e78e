"""recv() for threads, which take turns. Data that one of them takes is not emitted.

This module knows what has come and who waits for it. The class that receives the data overrides the hooks here.
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
    """Received data, and the threads that take it."""

    def _start_receiving_over(self) -> None:
        """Reset to the state before the first connection."""
        self._chunks: list[bytes] = []
        self._unread = 0
        self._receivers: list[Wait] = []
        self._eof = False
        self._ended_by: BaseException | None = None  # for a later recv()

    @operation
    def recv(self, n: int = CHUNK) -> Generator[Any, None, bytes]:
        """Receive 1 to `n` bytes; b'' at the end of the stream. Works on a paused socket, and before it is connected.

        The data is not emitted. A cancellation or timeout takes nothing. Raises the error that ended the connection, or
        Closed after destroy(). Raises ValueError if `n` is not positive.
        """
        if n < 1:
            raise ValueError(f"the number of bytes to receive must be positive, not {n}")
        wait: Wait | None = over_at_once()
        if wait is not None:
            yield from wait.wait()
            wait = None
        try:
            while True:  # see threads/lock.py
                got = self._pull(n, wait)
                if not isinstance(got, Wait):
                    break
                wait = got
                yield from wait.wait()
        finally:
            if wait is not None:
                self._leave_line(wait)
        self._took(not got)
        return got

    def _pull(self, n: int, before: Wait | None) -> bytes | Wait:
        """Take what there is. If there is nothing, or others came first, wait in line, or in the place of `before`."""
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
        """Wake the first thread in recv(). It stays in the line until it has the data, so nobody else takes it."""
        for wait in self._receivers:
            if wait.finish():
                return

    def _took(self, the_end: bool) -> None:
        """A thread has taken data, or met the end of the stream. To be overridden."""

    def _wanted(self) -> None:
        """One thread more or one less is waiting. To be overridden."""

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        with lock:
            self._chunks.clear()
            self._unread = 0
            receivers, self._receivers = self._receivers, []
            # Without its traceback, which would lead back here.
            self._ended_by = None if receivers or error is None else alike(error).with_traceback(None)
        for wait in receivers:
            self._raised |= wait.fail(error if error is not None else Closed())
