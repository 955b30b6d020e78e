"""The reading side of a socket: one thread receives, for listeners, for recv(), or into a small buffer.

Until somebody listens, resumes or receives, it reads only up to the high-water mark. So no data is lost, and the
network slows the peer down. A paused socket reads nothing, and only checks whether the peer resets the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from typing import Any, Self, TypeVar

from pollers import Closed, operation

from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.thread import Thread
from ..threads.wait import Wait
from .connection import Way
from .encodings import Decoder, decoder
from .piping import Destination, Pipe
from .receiving import CHUNK, Receiving

HIGH_WATER_MARK = 16384

D = TypeVar("D", bound=Destination)


class Reading(Receiving):
    """The receiving side of a socket."""

    def _prepare_reading(self, high_water_mark: int) -> None:
        self.readableHighWaterMark = high_water_mark
        """How many bytes to read ahead while nobody wants them."""
        self._onread: tuple[Any, Callable[[int, Any], Any]] | None = None
        self._room: Any = None  # the buffer to receive into now
        self._listener: Callable[[Any], Any] | None = None  # the only listener of 'data', if it can be called directly
        self._pipes: list[Pipe] = []
        self._flowing: bool | None = None  # None: never started or paused; False: paused
        self._resuming = False  # 'resume' is still to be emitted, and what waits for it
        self._decoder: Decoder | None = None
        self._referenced = True
        self._start_reading_over()

    def _start_reading_over(self) -> None:
        """Reset to the state before the first connection."""
        self.bytesRead = 0
        """How many bytes were received in total."""
        self.readable = False
        """Whether the socket is connected and 'end' was not emitted yet."""
        self.readableEnded = False
        """Whether 'end' was emitted."""
        self._start_receiving_over()
        self._emitting = False
        self._held: Wait | None = None
        self._reading = False  # a thread is reading
        self._reader: Thread[object] | None = None
        self._lent = False  # a layer above has the connection
        self._lending: Wait | None = None  # until the reading thread has ended
        self._aside = False  # the reading thread does not keep the loop running

    # Called by the user.

    def pause(self) -> Self:
        """Stop emitting 'data' and 'end', and stop receiving, until resume(). The peer has to wait."""
        if self._flowing is not False:
            self._flowing = False
            self._soon("pause")
        self._wanted()
        return self

    def resume(self) -> Self:
        """Emit 'resume', then 'data' and 'end' again, in a later turn. Data without a listener is then dropped."""
        with lock:
            resumes = not self._flowing and not self._resuming
            self._resuming |= resumes
            self._flowing = True
        self._later(self._resumed if resumes else self._flow)
        return self

    def _resumed(self) -> None:
        self._resuming = False
        if not self.destroyed:
            self._fire("resume")
        self._flow()

    def isPaused(self) -> bool:
        """Return whether pause() was called, and resume() was not called since."""
        return self._flowing is False

    def setEncoding(self, encoding: str | None = "utf8") -> Self:
        """Emit 'data' with text instead of bytes. Characters are never split. None: bytes again.

        Raises ValueError if Node does not know the encoding.
        """
        self._decoder = None if encoding is None else decoder(encoding)
        self._route()
        return self

    def pipe(self, destination: D, *, end: bool = True) -> D:
        """Write all incoming data to `destination`, at the speed that it accepts. At the end, end() it. Return it.

        `end=False` leaves it open. The pipe ends with unpipe(), or when the destination is closed.
        """
        self._pipes.append(Pipe(self, destination, end))
        self.resume()
        return destination

    def unpipe(self, destination: Destination | None = None) -> Self:
        """Undo pipe() for one destination, or for all."""
        for pipe in [pipe for pipe in self._pipes if destination is None or pipe.destination is destination]:
            self._pipes.remove(pipe)
            pipe.close()
        return self

    def ref(self) -> Self:
        """Keep the loop running while the socket is open. This is the default."""
        self._referenced = True
        self._count()
        return self

    def unref(self) -> Self:
        """Do not keep the loop running: start() returns when nothing else is left."""
        self._referenced = False
        self._count()
        return self

    # The thread that reads.

    def _start_reading(self, handle: Way) -> None:
        self._reading = True
        reader = newthread(self._read, handle, name=f"reader of {self!r}")
        if self._reading:
            self._reader = reader

    def _read(self, handle: Way) -> Generator[Any, None, None]:
        self._count()
        recv = handle.recv if self._onread is None else self._recv_into
        try:
            while True:  # see threads/lock.py
                if self._handle is not handle:
                    break
                if self._listener is None and not self._wants():
                    yield from self._hold(handle)
                    continue
                data = yield from recv(CHUNK, self)
                if self._handle is not handle:
                    return
                if not data:
                    yield from self._in_turn(self._end_of_stream)
                    return
                self.bytesRead += len(data)
                if self._idle_s:
                    self._active()
                if self._scheduler.crew is not None:
                    yield from self._in_turn(self._take_in, data)
                    continue
                listener = self._listener
                if listener is None:
                    self._take_in(data)
                    continue
                try:
                    made = listener(data)
                except Exception as error:
                    self._listener_failed("data", (data,), error)
                else:
                    if made is None:
                        continue
                    self._carry_on(listener, made, (data,))
        except Closed:
            return
        except OSError as error:
            if self._handle is handle:
                self.destroy(self._described(error, "read"))
        finally:
            if self._handle is handle:
                self._reading = False
                self._reader = None
                self._count()
            if self._lending is not None:
                self._lending.finish()

    @operation
    def _recv_into(self, _n: int, owner: object) -> Generator[Any, None, memoryview]:
        """Receive into the buffer of the option `onread`."""
        handle, onread = self._handle, self._onread
        if handle is None or onread is None:
            raise Closed  # by another OS thread
        buffer = onread[0]
        self._room = buffer() if callable(buffer) else buffer
        n = yield from handle.recv_into(self._room, 0, owner)
        return memoryview(self._room)[:n]

    def _hand_to(self, onread: tuple[Any, Callable[[int, Any], Any]], data: memoryview) -> None:
        n = len(data)
        data.release()
        try:
            if onread[1](n, self._room) is False:
                self.pause()
        except Exception as error:
            self._listener_failed("onread", (n, self._room), error)

    def _wants(self) -> bool:
        """Whether to receive more now."""
        if self._lent:
            return False
        if self._onread is not None:
            return self._flowing is not False
        if self._receivers:
            return not self._chunks
        if self._flowing is None or self._resuming:
            return not self._chunks or self._unread < self.readableHighWaterMark
        return self._flowing and not self._chunks and not self._emitting

    def _hold(self, handle: Way) -> Generator[Any, None, None]:
        """Wait until more is wanted. If nothing is unread, also notice a peer that resets the connection."""
        self._count()
        tcp = self._tcp
        if not self._chunks and tcp is not None:
            kernel = tcp.handle
            yield from kernel.wait_readable(self)
            if self._handle is not handle or self._wants():
                return
            try:
                kernel.sock.recv(1, socket.MSG_PEEK)  # if a send met a reset, the send reports it
            except BlockingIOError:
                pass
            except OSError as error:
                raise kernel.told(error) or error from None
        with lock:
            if self._wants() or self._handle is not handle:
                return
            held = self._held = Wait(f"resume of {self!r}")
        try:
            yield from held.wait()
        finally:
            self._wake()

    def _wake(self) -> None:
        """Wake the reading thread: more may be wanted now."""
        with lock:
            held, self._held = self._held, None
            if held is not None:
                held.finish()
            self._count()  # at once: another thread may check whether anything is left to wait for

    def _count(self) -> None:
        """Tell the scheduler whether the reading thread keeps the loop running: only while somebody wants data."""
        with lock:
            aside = self._reading and not (self._referenced and self._wants())
            if aside != self._aside:
                self._aside = aside
                self._scheduler.hopeless += 1 if aside else -1

    # Received data.

    def _take_in(self, data: Any) -> None:
        if self._onread is not None:
            self._hand_to(self._onread, data)
            return
        with lock:
            at_once = self._flowing and not self._resuming and not self._emitting
            at_once = at_once and not self._chunks and not self._receivers
            if not at_once:
                self._chunks.append(data)
                self._unread += len(data)
                self._call_next()
        if at_once:
            self._emit_data(data)

    def _emit_data(self, data: bytes) -> None:
        if self._decoder is None:
            self._fire("data", data)
        elif text := self._decoder.decode(data):
            self._fire("data", text)

    def _flow(self, pulled: bool = False) -> None:
        """Emit the stored data while the socket is flowing, then 'end' if the stream has ended."""
        while (data := self._next_to_emit()) is not None:
            self._emit_data(data)
        if self._eof and not self._chunks and (pulled or not (self._flowing is False or self._resuming)):
            self._emit_end()
        self._route()
        self._wake()

    def _next_to_emit(self) -> bytes | None:
        with lock:
            self._emitting = bool(self._chunks and self._flowing and not self._resuming and not self._receivers)
            return self._take(CHUNK) if self._emitting else None

    def _end_of_stream(self) -> None:
        self._eof = True
        self._let_go_if_over()
        if self._idle_s:
            self._active()
        pulled = [wait.finish() for wait in self._receivers]
        self._flow(pulled=any(pulled))

    def _emit_end(self) -> None:
        with lock:
            if self.readableEnded or self.destroyed:
                return
            self.readableEnded = True
        self.readable = False
        if self._decoder is not None and (rest := self._decoder.decode(b"", True)):
            self._fire("data", rest)
        self._fire("end")
        if not self.destroyed:
            self._peer_has_ended()

    def _let_go_if_over(self) -> None:
        """Note that the peer has ended. Overridden by a class that knows whether we have ended, too."""

    def _peer_has_ended(self) -> None:
        """Called after 'end'. Overridden by a class that knows whether to end our side as well."""

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        self._reading = self.readable = False
        self._reader = None
        self._wanted()

    # Listeners.

    def _listeners_changed(self, event: str) -> None:
        super()._listeners_changed(event)
        if event != "data":
            return
        if not self.listenerCount("data"):
            if self._flowing:
                self._flowing = None  # nobody is left to hear it: store what comes
        elif self._flowing is None:
            self.resume()
        self._route()

    def _took(self, the_end: bool) -> None:
        if self._flowing or self._eof:
            self._later(self._flow, the_end)
        self._wake()

    def _wanted(self) -> None:
        self._route()
        self._wake()

    def _route(self) -> None:
        """Find the direct way from the kernel to the only listener, if there is one."""
        short = self._flowing and not self._resuming and self._decoder is None and not self._chunks
        short = short and not self._receivers and not self.destroyed and self._onread is None
        with self._lock:
            listeners: dict[Any, Any] = self._events.get("data") or {}
            self._listener = next(iter(listeners.values())) if short and len(listeners) == 1 else None
