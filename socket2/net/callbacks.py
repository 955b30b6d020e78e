"""The callbacks of write() and end(): each is called once, in order, in a later turn, and never after 'close'.

The offset in the stream of written bytes tells which callback is due.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from ..threads.lock import lock
from ..threads.wait import Wait
from .connection import Connection
from .failures import failure

Callback = Callable[..., Any]


class Callbacks(Connection):
    """The callbacks that wait for the result of a write."""

    def _start_calling_back_over(self) -> None:
        """Reset to the state before the first connection."""
        self.bytesWritten = 0
        """How many bytes were written, including those that are still queued."""
        self.writableEnded = False
        """Whether end() was called."""
        self.writableFinished = False
        """Whether 'finish' was emitted: everything was sent, and so was the end of the stream."""
        self._ended_by_peer = False
        self._callbacks: deque[tuple[int, Callback | Wait]] = deque()  # each with the offset that it waits for
        self._enders: list[Callback] = []
        self._left: list[tuple[Callback, BaseException | None]] = []  # to be called before 'close'

    def _note(self, callback: Callback | Wait | None) -> None:
        if callback is None:
            return
        if self.destroyed:
            self._answer(callback, self._refusal())
        else:
            self._callbacks.append((self.bytesWritten, callback))

    def _answer(self, callback: Callback | Wait, error: BaseException | None) -> None:
        """Call a callback in a later turn, but before 'close' if that has not come yet."""
        with lock:
            if self.destroyed and not self._closed and not isinstance(callback, Wait):
                self._left.append((callback, error))
                return
        self._later(self._tell, callback, error)

    def _refusal(self) -> OSError:
        if self._ended_by_peer:
            return failure("EPIPE", "This socket has been ended by the other party", errno.EPIPE)
        if self.destroyed:
            return failure("ERR_STREAM_DESTROYED", "the connection has been destroyed", errno.EPIPE)
        return failure("ERR_STREAM_WRITE_AFTER_END", "write after end", errno.EPIPE)

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        if error is None and self.connecting:
            code = "ERR_SOCKET_CLOSED_BEFORE_CONNECTION"
            error = failure(code, "Socket closed before the connection was established", errno.EPIPE)
        elif error is None:
            error = failure("ERR_STREAM_DESTROYED", "the connection has been destroyed", errno.EPIPE)
        with lock:
            self._left += self._take_callbacks(error)

    def _take_callbacks(self, error: BaseException) -> list[tuple[Callback, BaseException | None]]:
        """Return the callbacks to call. Threads in send() are woken at once: they need no 'error'."""
        callbacks, self._callbacks = self._callbacks, deque()
        enders, self._enders = self._enders, []
        for _, callback in callbacks:
            if isinstance(callback, Wait):
                self._tell(callback, error)
        return [(one, error) for one in (*(one for _, one in callbacks), *enders) if not isinstance(one, Wait)]

    def _call_back(self) -> None:
        with lock:
            left, self._left = self._left, []
            self._closed = True
        self._tell_all(left)

    def _tell_all(self, left: list[tuple[Callback, BaseException | None]]) -> None:
        for callback, error in left:
            self._tell(callback, error)

    def _tell(self, callback: Callback | Wait, error: BaseException | None) -> None:
        if not isinstance(callback, Wait):
            self._call("write", callback, error)
        elif error is None:
            callback.finish()
        else:
            self._raised |= callback.fail(error)
