"""The writing side of a socket: the kernel gets the data at once; what it does not take is queued for a thread.

Offsets in the stream of all that was written tell which callback is due. Knows nothing of what is received.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Self

from pollers import NOSIGNAL, Closed, Handle, operation

from ..locking import lock
from ..loop import newthread
from ..tcp import TCP
from ..waits import Wait
from .connection import Connection
from .encodings import encode
from .failures import described, failure, told

Callback = Callable[..., Any]

# Small pieces in the queue are sent together, up to this many bytes.
_TOGETHER = 65536


class Writing(Connection):
    """What a socket sends."""

    def _prepare_writing(self, high_water_mark: int, max_buffer_size: int | None) -> None:
        self.writableHighWaterMark = high_water_mark
        """From how many queued bytes on write() returns False."""
        self.maxBufferSize = max_buffer_size
        """How many bytes may be queued before the connection is destroyed; None: any number. (Ours)"""
        self._corked = 0
        self._start_writing_over()

    def _start_writing_over(self) -> None:
        """As before the first connection."""
        self.bytesWritten = 0
        """How many bytes were written, with those that are still queued."""
        self.writable = False
        """Whether it is connected and end() has not been called."""
        self.writableEnded = False
        """Whether end() was called."""
        self.writableFinished = False
        """Whether 'finish' was emitted: all was sent, and the peer told that it was."""
        self.writableNeedDrain = False
        """Whether write() has returned False, and 'drain' has not come yet."""
        self._ended_by_peer = False
        self._queued = 0  # of bytesWritten
        self._send: Callable[[Any, int], int] | None = None  # while nothing is queued, and there is a connection
        self._queue: deque[bytes | memoryview] = deque()
        self._callbacks: deque[tuple[int, Callback]] = deque()  # each with the offset that it waits for
        self._enders: list[Callback] = []
        self._shut = False
        self._flushing = False

    @property
    def writableLength(self) -> int:
        """How many bytes are queued: written, and not taken by the kernel yet."""
        return self._queued

    bufferSize = writableLength

    # What the user does.

    def write(self, data: Any, encoding: str | Callback | None = None, callback: Callback | None = None) -> bool:
        """Send `data`: bytes, or text in `encoding` ("utf8"). Never waits; what the kernel does not take is queued.

        Returns whether less than the high-water mark is queued now; if not, 'drain' comes when nothing is. `callback`
        gets None when the kernel has taken it, else the error. Before it is connected all is queued. After end() there
        is an 'error', and the connection goes on to its end. TypeError for what is neither bytes nor text.
        """
        if encoding is not None and not isinstance(encoding, str):
            encoding, callback = None, encoding
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback is a function, not {callback!r}")
        if type(data) is not bytes:
            data = _bytes_of(data, encoding)
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
            self.destroy(described(error, "write"))
            return False
        if sent < size:
            self._send = None
            self._queued = size - sent
            self._note(callback)
            self._queue.append(memoryview(data)[sent:])
            self._start_flushing()
            return self._below_the_mark()
        if callback is not None:
            self._later(self._call, "write", callback, None)
        return True

    def end(
        self,
        data: Any = None,
        encoding: str | Callback | None = None,
        callback: Callback | None = None,
    ) -> Self:
        """Write `data`, if any, and no more: when all is sent the peer is told, and 'finish' emitted.

        `callback` gets None then, or the error that came first. May be called before it is connected. shutdown(2).
        """
        if callable(data):
            data, callback = None, data
        elif encoding is not None and not isinstance(encoding, str):
            encoding, callback = None, encoding
        if data is not None:
            self.write(data, encoding)
        if callback is not None:
            if self.destroyed or self.writableFinished:
                self._later(self._call, "end", callback, self._refusal() if not self.writableFinished else None)
            else:
                self._enders.append(callback)
        with lock:
            if self.writableEnded or self.destroyed:
                return self
            self.writableEnded = True
        self.writable = False
        self._send = None
        self._later(self._finish)
        return self

    finish = end

    def destroySoon(self) -> Self:
        """end(), and destroy() when all has been sent."""
        if self.writableFinished:
            return self.destroy()
        self._enders.append(lambda error: self.destroy())
        return self.end()

    def cork(self) -> None:
        """Queue what is written, so that it is sent together at uncork()."""
        self._corked += 1
        self._send = None

    def uncork(self) -> None:
        """Undo one cork(); the last one sends what is queued."""
        if self._corked:
            self._corked -= 1
        if not self._corked and self._handle is not None:
            self._start_flushing()

    @operation
    def send(self, data: Any, encoding: str | None = None) -> Generator[Any, None, int]:
        """Write `data` and wait until the kernel has all of it; return how many bytes that was.

        Cancelled or out of time: what is queued is sent all the same. Raises what write() would report as an error.
        """
        data = _bytes_of(data, encoding)
        if self.destroyed or self.writableEnded:
            raise self._refusal()
        wait = Wait(f"send on {self!r}")

        def done(error: BaseException | None) -> None:
            if error is None:
                wait.finish()
            else:
                self._raised |= wait.fail(error)

        if self._send is None or self._scheduler.crew is not None:
            self._queue_up(data, done)
        else:
            self.write(data)
            if not self.destroyed and not self._queued:
                return len(data)
            self._note(done)
        yield from wait.wait()
        return len(data)

    # The queue.

    def _queue_up(self, data: bytes, callback: Callback | None) -> bool:
        with lock:
            if self.destroyed or self.writableEnded:
                self._refuse(callback)
                return False
            self.bytesWritten += len(data)
            self._queued += len(data)
            self._note(callback)
            self._queue.append(data)
        if not self._corked:
            self._start_flushing()
        return self._below_the_mark()

    def _below_the_mark(self) -> bool:
        queued = self._queued
        if self.maxBufferSize is not None and queued > self.maxBufferSize:
            limit = OSError(errno.ENOBUFS, f"{queued} bytes are queued, more than maxBufferSize, {self.maxBufferSize}")
            self.destroy(described(limit, "write"))
            return False
        with lock:
            if not self._queued or self._queued < self.writableHighWaterMark:
                return True
            self.writableNeedDrain = True
        return False

    def _note(self, callback: Callback | None) -> None:
        if callback is None:
            return
        if self.destroyed:
            self._later(self._call, "write", callback, self._refusal())
        else:
            self._callbacks.append((self.bytesWritten, callback))

    def _refusal(self) -> OSError:
        if self.destroyed:
            return failure("ERR_STREAM_DESTROYED", "the connection has been destroyed", errno.EPIPE)
        if self._ended_by_peer:
            return failure("EPIPE", "This socket has been ended by the other party", errno.EPIPE)
        return failure("ERR_STREAM_WRITE_AFTER_END", "write after end", errno.EPIPE)

    def _refuse(self, callback: Callback | None) -> None:
        error = self._refusal()
        if callback is not None:
            self._later(self._call, "write", callback, error)
        if not self.destroyed:
            self._had_error = True
            self._later(self._tell_refusal, error)

    def _tell_refusal(self, error: OSError) -> None:
        if not self.destroyed:
            self._fire("error", error)

    def _connected_for_writing(self, handle: Handle) -> None:
        self.writable = not self.writableEnded
        self._start_flushing()

    def _start_flushing(self) -> None:
        """See that what is queued is sent; with nothing in the queue, the way is open for write()."""
        with lock:
            handle = self._handle
            if handle is None or self._flushing:
                return
            self._flushing = bool(self._queue)
        if self._flushing:
            newthread(self._flush, handle, name=f"writer of {self!r}")
        else:
            self._open_the_way(handle)

    def _open_the_way(self, handle: Handle) -> None:
        if not self.writableEnded and not self._corked:
            self._send = handle.sock.send
        self._progress()
        self._finish()

    def _flush(self, handle: Handle) -> Generator[Any, None, None]:
        try:
            while (piece := self._next(handle)) is not None:
                n = yield from handle.send(piece, self)
                self._taken(handle, n)
        except Closed:
            return
        except OSError as error:
            if self._handle is handle:
                self.destroy(described(error, "write"))
        else:
            if self._handle is handle:
                self._open_the_way(handle)

    def _next(self, handle: Handle) -> bytes | memoryview | None:
        """The head of the queue, small pieces put together; None when there is nothing more to send."""
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
                while queue and size + len(queue[0]) <= _TOGETHER:
                    size += len(queue[0])
                    pieces.append(queue.popleft())
                queue.appendleft(b"".join(pieces))
            return queue[0]

    def _taken(self, handle: Handle, n: int) -> None:
        """The kernel has taken `n` bytes of the head."""
        with lock:
            if self._handle is not handle:
                return
            head = self._queue.popleft()
            if n < len(head):
                self._queue.appendleft(memoryview(head)[n:])
            self._queued -= n
        if self._idle_s:
            self._active()
        self._progress()

    def _progress(self) -> None:
        due = []
        with lock:
            sent = self.bytesWritten - self._queued
            while self._callbacks and self._callbacks[0][0] <= sent:
                due.append(self._callbacks.popleft()[1])
            drained = self.writableNeedDrain and not self._queued
            if drained:
                self.writableNeedDrain = False
        if due or drained:
            self._later(self._written, due, drained and not self.writableEnded)

    def _written(self, due: list[Callback], drained: bool) -> None:
        if drained and not self.destroyed:
            self._fire("drain")
        for callback in due:
            self._call("write", callback, None)

    # The end.

    def _finish(self) -> None:
        """When all is sent, tell the peer so."""
        with lock:
            tcp = self._tcp
            if not self.writableEnded or self._shut or tcp is None or self._queue or self._flushing:
                return
            self._shut = True
        try:
            tcp.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer has gone: who reads will hear of it
        self._later(self._emit_finish, tcp)

    def _emit_finish(self, tcp: TCP) -> None:
        if self._tcp is not tcp:  # destroyed, and perhaps connected again
            return
        self.writableFinished = True
        self._fire("finish")
        enders, self._enders = self._enders, []
        for callback in enders:
            self._call("end", callback, None)
        if not self.destroyed:
            self._all_is_sent()

    def _all_is_sent(self) -> None:
        """After 'finish'. Overridden by who knows whether that was all."""

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        refusal = error if error is not None else self._refusal()
        self.writable = False
        self._send = None
        with lock:
            self._queue.clear()
            self._queued = 0
            callbacks, self._callbacks = self._callbacks, deque()
            enders, self._enders = self._enders, []
        for callback in [*(callback for _, callback in callbacks), *enders]:
            self._later(self._call, "write", callback, refusal)


def _bytes_of(data: Any, encoding: str | None) -> bytes:
    if isinstance(data, str):
        return encode(data, encoding)
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise told(TypeError(f"bytes or text can be written, not {data!r}"), code="ERR_INVALID_ARG_TYPE") from None
