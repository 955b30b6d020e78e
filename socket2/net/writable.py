"""The writing side of a socket. The kernel gets the data at once; a thread sends the rest later.

This module knows nothing of receiving.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any, Self

from pollers import NOSIGNAL, Closed, operation

from ..sockets.tcp import TCP
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.thread import over_at_once
from ..threads.wait import Wait
from .callbacks import Callback
from .connection import Way
from .encodings import bytes_of
from .failures import described, told
from .limit import Limited

# Small pieces in the queue are sent together, up to this many bytes.
_TOGETHER = 65536


class Writing(Limited):
    """The sending side of a socket."""

    def _prepare_writing(self, high_water_mark: int, options: Mapping[str, Any]) -> None:
        self.writableHighWaterMark = high_water_mark
        """The number of queued bytes from which write() returns False."""
        self._corked = 0
        if "maxBufferSize" in options:
            self.maxBufferSize = options["maxBufferSize"]
        self._start_writing_over()

    def _start_writing_over(self) -> None:
        """Reset to the state before the first connection."""
        self.writable = False
        """Whether the socket is connected and end() was not called."""
        self.writableNeedDrain = False
        """Whether write() has returned False and 'drain' was not emitted yet."""
        self._start_limiting_over()
        self._send: Callable[[Any, int], int] | None = None  # set while the socket is connected and nothing is queued
        self._queue: deque[bytes | memoryview] = deque()
        self._start_calling_back_over()
        self._shut = False
        self._destroys_when_finished = False
        self._flushing = False

    @property
    def writableLength(self) -> int:
        """How many bytes are queued: written, but not accepted by the kernel yet."""
        return self._queued

    bufferSize = writableLength

    @property
    def writableCorked(self) -> int:
        """How many uncork() calls are needed until the data is sent."""
        return self._corked

    # Called by the user.

    def write(self, data: Any, encoding: str | Callback | None = None, callback: Callback | None = None) -> bool:
        """Send `data`: bytes, or text in `encoding` ("utf8"). Never waits: what the kernel does not accept is queued.

        Returns whether less than the high-water mark is queued. If not, 'drain' is emitted when the queue is empty.
        `callback` gets None when the kernel has accepted the data, otherwise the error. Before the socket is connected,
        all data is queued. After end(), 'error' is emitted, and the connection continues to its end. Raises TypeError
        if `data` is neither bytes nor text.
        """
        if encoding is not None and not isinstance(encoding, str):
            encoding, callback = None, encoding
        if callback is not None and not callable(callback):
            raise told(TypeError(f"callback must be a function, not {callback!r}"), code="ERR_INVALID_ARG_TYPE")
        if type(data) is not bytes:
            data = bytes_of(data, encoding)
        send = self._send
        if send is None or self._scheduler.crew is not None:  # with several OS threads only one of them sends
            return self._queue_up(data, callback)
        size = len(data)
        self.bytesWritten += size
        if self._idle_s:
            self._active()
        try:
            sent = send(data, NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._queued = size
            self._note(callback)
            handle = self._handle
            self._write_failed(self._described((handle and handle.told(error)) or error, "write"))
            return False
        if sent < size:
            self._send = None
            self._queued = size - sent
            self._note(callback)
            self._queue.append(memoryview(data)[sent:])
            self._start_flushing()
            return self._below_the_mark(0)
        if callback is not None:
            self._later(self._call, "write", callback, None)
        return True

    def end(
        self,
        data: Any = None,
        encoding: str | Callback | None = None,
        callback: Callback | None = None,
    ) -> Self:
        """Write `data`, if any, and end the writing side. When everything is sent, the peer gets the end of the stream.

        Then 'finish' is emitted, and `callback` gets None; or it gets the error that came first. May be called before
        the socket is connected. shutdown(2).
        """
        if callable(data):
            data, callback = None, data
        elif encoding is not None and not isinstance(encoding, str):
            encoding, callback = None, encoding
        if data is not None:
            self.write(data, encoding)
        if self._mark_ended(callback):
            self._start_flushing()
        return self

    def _mark_ended(self, callback: Callback | None = None) -> bool:
        """Accept no more data. Return False if that was so already."""
        with lock:
            refuses = self.destroyed or self.writableFinished
            if callback is not None and not refuses:
                self._enders.append(callback)
            first = not self.writableEnded and not self.destroyed
            if first:
                self.writableEnded = True
                self.writable = False
                self._corked = 0
                self._send = None
        if callback is not None and refuses:
            self._answer(callback, None if self.writableFinished else self._refusal())
        return first

    finish = end

    def destroySoon(self) -> Self:
        """Call end(), and destroy() once everything is sent."""
        if self.writableFinished:
            return self.destroy()
        self._destroys_when_finished = True
        return self.end()

    def cork(self) -> None:
        """Queue written data, so that uncork() sends it together."""
        self._corked += 1
        self._send = None

    def uncork(self) -> None:
        """Undo one cork(). The last one sends the queue."""
        if self._corked:
            self._corked -= 1
        if not self._corked and self._handle is not None:
            self._start_flushing()

    @operation
    def send(self, data: Any, encoding: str | None = None) -> Generator[Any, None, int]:
        """Write `data` and wait until the kernel has accepted all of it; return the number of bytes.

        After a cancellation or timeout, queued data is still sent. Raises the error that write() would report.
        """
        data = bytes_of(data, encoding)
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        if self.destroyed or self.writableEnded:
            raise self._refusal()
        wait = Wait(f"send on {self!r}")

        if self._send is None or self._scheduler.crew is not None:
            self._queue_up(data, wait)
        else:
            self.write(data)
            if not self.destroyed and not self._queued:
                return len(data)
            self._note(wait)
        yield from wait.wait()
        return len(data)

    # The queue.

    def _queue_up(self, data: bytes, callback: Callback | Wait | None) -> bool:
        with lock:
            if self.destroyed or self.writableEnded:
                self._refuse(callback)
                return False
            before = 0 if isinstance(callback, Wait) and self._patient else self._queued
            self.bytesWritten += len(data)
            self._queued += len(data)
            self._note(callback)
            self._queue.append(data)
        if not self._corked:
            self._start_flushing()
        return self._below_the_mark(before)

    def _below_the_mark(self, before: int) -> bool:
        """Whether more may be written. `before`: how much was queued before the last write."""
        queued = self._queued
        limit = self._max_buffer_size
        if limit is not None and queued > limit and self._is_too_much(before, limit):
            message = f"{queued} bytes are queued, more than maxBufferSize ({limit}): the peer does not read"
            self._write_failed(described(OSError(errno.ENOBUFS, message), "write"))
            return False
        with lock:
            if not self._queued or self._queued < self.writableHighWaterMark:
                return True
            self.writableNeedDrain = True
        return False

    def _refuse(self, callback: Callback | Wait | None) -> None:
        error = self._refusal()
        if callback is not None:
            self._answer(callback, error)
        if not self.destroyed:
            self._later(self._tell_refusal, error)

    def _tell_refusal(self, error: OSError) -> None:
        if not self.destroyed:
            self._complained = True
            self._fire("error", error)

    def _connected_for_writing(self) -> None:
        self.writable = not self.writableEnded
        self._start_flushing()

    def _start_flushing(self) -> None:
        """Start sending the queue. If it is empty, let write() send directly."""
        with lock:
            handle = self._handle
            if handle is None or self._flushing:
                return
            self._flushing = bool(self._queue)
        if self._flushing:
            newthread(self._flush, handle, name=f"writer of {self!r}")
        else:
            self._open_the_way(handle)

    def _open_the_way(self, handle: Way) -> None:
        if not self.writableEnded and not self._corked:
            self._send = self._direct_way(handle)
        self._progress()
        self._finish()

    def _direct_way(self, handle: Any) -> Callable[[Any, int], int] | None:
        """Return what sends at once, as socket.send() does. None: everything is queued. To be overridden."""
        send: Callable[[Any, int], int] = handle.sock.send
        return send

    def _flush(self, handle: Way) -> Generator[Any, None, None]:
        try:
            while (piece := self._next(handle)) is not None:
                n = yield from handle.send(piece, self)
                self._taken(handle, n)
        except Closed:
            return
        except OSError as error:
            if self._handle is handle:
                self._write_failed(self._described(error, "write"))
        else:
            if self._handle is handle:
                self._open_the_way(handle)

    def _next(self, handle: Way) -> bytes | memoryview | None:
        """Return the head of the queue, with small pieces joined; None if there is nothing more to send."""
        with lock:
            if self._handle is not handle:
                return None
            queue = self._queue
            if not queue:
                self._flushing = False
                return None
            size = len(queue[0])
            if size < _TOGETHER and len(queue) > 1:
                pieces = [queue.popleft()]
                while True:  # see threads/lock.py
                    if not queue or size + len(queue[0]) > _TOGETHER:
                        break
                    size += len(queue[0])
                    pieces.append(queue.popleft())
                queue.appendleft(b"".join(pieces))
            return queue[0]

    def _taken(self, handle: Way, n: int) -> None:
        """Remove `n` bytes of the head, which the kernel has accepted."""
        with lock:
            if self._handle is not handle:
                return
            head = self._queue.popleft()
            if n < len(head):
                self._queue.appendleft(memoryview(head)[n:])
            self._queued -= n
            if self._was_too_much:
                self._was_too_much = self._is_over()
        if self._idle_s:
            self._active()
        self._progress()

    def _progress(self) -> None:
        due = []
        with lock:
            sent = self.bytesWritten - self._queued
            while True:  # see threads/lock.py
                if not self._callbacks or self._callbacks[0][0] > sent:
                    break
                due.append(self._callbacks.popleft()[1])
            drained = self.writableNeedDrain and not self._queued
            if drained:
                self.writableNeedDrain = False
        if due or drained:
            self._later(self._written, due, drained and not self.writableEnded)

    def _written(self, due: list[Callback | Wait], drained: bool) -> None:
        if drained and not self.destroyed:
            self._fire("drain")
        for callback in due:
            self._tell(callback, None)

    # The end.

    def _finish(self) -> None:
        """Tell the peer once everything is sent."""
        with lock:
            tcp = self._tcp
            if not self.writableEnded or self._shut or tcp is None or self._queue or self._flushing:
                return
            self._shut = True
        self._send_the_end(tcp)

    def _send_the_end(self, tcp: TCP) -> None:
        """Tell the peer, then emit 'finish'. To be overridden."""
        try:
            tcp.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has gone: a read will report it
        self._later(self._emit_finish, tcp)

    def _emit_finish(self, tcp: TCP) -> None:
        if self._tcp is not tcp:  # destroyed, and perhaps connected again
            return
        with lock:
            self.writableFinished = True
            enders, self._enders = self._enders, []
        for callback in enders:
            self._call("end", callback, None)
        if self._tcp is tcp:
            self._fire("finish")
        if self._destroys_when_finished:
            self.destroy()
        if not self.destroyed:
            self._all_is_sent()

    def _all_is_sent(self) -> None:
        """Called after 'finish'. Overridden by a class that knows whether the peer has ended, too."""

    def _write_failed(self, error: OSError) -> None:
        """Destroy the connection. The callbacks of the failed writes are called first."""
        with lock:
            left = [] if self.destroyed else self._take_callbacks(error)
        self._later(self._tell_all, left)
        self.destroy(error)

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        self.writable = False
        self._send = None
        with lock:
            self._queue.clear()
            self._queued = 0
