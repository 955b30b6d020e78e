"""asyncio's stream transport, on a handle of a poller.

poll() resumes the transport, which receives and calls the protocol: no Handle of asyncio is in between. A generator
reads. It goes on while the protocol or the program may call any method of the transport. Must not know what waits to be
sent. The private names are those by which asyncio's own loop knows its transports.
"""

from __future__ import annotations

import sys
import warnings
from asyncio import constants, futures, protocols, trsock
from asyncio.log import logger
from collections.abc import Generator
from contextvars import copy_context
from functools import partial
from typing import Any

from pollers import Handle

from .writing import PASS, SUSPENDED, Writing, withdraw

# How many bytes one receive may return.
_RECEIVE_MAX = 65536


class StreamTransport(Writing):
    """A connection of an asyncio program. See asyncio.Transport."""

    __slots__ = (
        "__weakref__",
        "_buffered",
        "_context",
        "_fresh",
        "_held",
        "_paused",
        "_reading",
        "_resume",
        "_server",
        "_sock_fd",
    )

    _start_tls_compatible = True
    _sendfile_compatible: Any = vars(constants)["_SendfileMode"].TRY_NATIVE

    def __init__(self, loop: Any, handle: Handle, protocol: Any, waiter: Any, extra: Any, server: Any) -> None:
        self._server = server
        super().__init__(loop, handle, extra)
        self._sock_fd = handle.fileno()
        sock = handle.sock
        self._extra["socket"] = trsock.TransportSocket(sock)
        for name, ask in (("sockname", sock.getsockname), ("peername", sock.getpeername)):
            if name == "sockname" or name not in self._extra:
                try:
                    self._extra[name] = ask()
                except OSError:
                    self._extra[name] = None
        self._paused = False
        self._fresh = True  # whether the protocol has not been called since the loop has resumed the reading side
        self._held = False  # whether the reading side waits for resume_reading()
        self._reading: Any = None
        self._context = copy_context()
        self._resume: Any = partial(self._context.run, self._read)
        self.set_protocol(protocol)
        if server is not None:
            server._attach(*((self,) if sys.version_info >= (3, 13) else ()))
        loop._transports[self._sock_fd] = self
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._begin, context=self._context)
        if waiter is not None:
            loop.call_soon(vars(futures)["_set_result_unless_cancelled"], waiter, None)

    # What asyncio's own loop uses.

    @property
    def _sock(self) -> Any:
        return None if self._handle is None else self._handle.sock

    # Reading.

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, protocols.BufferedProtocol)

    def get_protocol(self) -> Any:
        return self._protocol

    def is_reading(self) -> bool:
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Stop calling the protocol. A receive that waits goes on, and keeps what it gets for resume_reading()."""
        if not self._closing and not self._paused:
            self._paused = True
            self._tell("pauses reading")

    def resume_reading(self) -> None:
        if self._closing or not self._paused:
            return
        self._paused = False
        if self._held:
            self._held = False
            self._loop.call_soon(self._read, context=self._context)
        self._tell("resumes reading")

    def _tell(self, what: str) -> None:
        if self._loop.get_debug():
            logger.debug("%r %s", self, what)

    def _begin(self) -> None:
        if not self._conn_lost:
            self._reading = self._receive()
            self._read()

    def _read(self) -> None:
        """Go on reading. poll() returns this method, in the context of the transport."""
        self._fresh = True
        try:
            direction = next(self._reading, SUSPENDED)
            if direction.park(self._resume):
                self._loop.call_soon(self._read, context=self._context)
        except BaseException:  # the protocol has raised SystemExit: if the loop goes on, so does this
            if not self._conn_lost:
                self._loop.call_soon(self._begin, context=self._context)
            raise

    def _receive(self) -> Generator[Any, None, None]:
        """Receive until the end of the stream or of the transport."""
        assert self._handle is not None
        recv = self._handle.recv
        wait_readable = self._handle.wait_readable
        data = b""
        while True:
            while self._paused:
                self._held = True
                yield SUSPENDED
            if self._closing:
                return
            buffered = self._buffered
            try:
                if buffered:
                    yield from wait_readable()
                else:
                    data = yield from recv(_RECEIVE_MAX)
            except OSError as error:
                while self._paused:
                    self._held = True
                    yield SUSPENDED
                if not self._closing:
                    self._fatal_error(error, "Fatal read error on socket transport")
                return
            if not self._fresh:
                yield PASS  # what the protocol has woken runs before it hears of more, as in asyncio's own loop
            while self._paused:
                self._held = True
                yield SUSPENDED
            if self._closing:
                return
            self._fresh = False
            if buffered:
                if not self._buffered:
                    continue  # a new protocol: nothing has been received yet
                n = self._receive_into_buffer()
            else:
                n = len(data)
                self._deliver(data)
                data = b""
            if not n or self._closing:
                return

    def _deliver(self, data: bytes) -> None:
        """Call the protocol with what has been received."""
        if not data:
            self._at_eof()
            return
        try:
            if self._buffered:  # by now
                vars(protocols)["_feed_data_to_buffered_proto"](self._protocol, data)
            else:
                self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def _receive_into_buffer(self) -> int:
        """Receive into the buffer of a BufferedProtocol, which it lends for this moment only. Return 0 at the end."""
        assert self._handle is not None
        step = "get_buffer"
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            step = ""
            steps = iter(self._handle.recv_into(buffer))
            try:
                direction = steps.send(None)
            except StopIteration as stop:
                n: int = stop.value
            else:
                withdraw(direction, steps)  # there is nothing after all
                return 1
            step = "buffer_updated"
            if n:
                self._protocol.buffer_updated(n)
                return n
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            call = f"Fatal error: protocol.{step}() call failed." if step else "Fatal read error on socket transport"
            self._fatal_error(error, call)
            return 0
        self._at_eof()
        return 0

    def _at_eof(self) -> None:
        self._tell("received EOF")
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    # The end.

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._conn_lost += 1
            self._loop.call_soon(self._call_connection_lost, None)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        if self._handle is None:
            return
        self._conn_lost += 1
        try:
            self._protocol.connection_lost(error)
        finally:
            self._end()
            self._protocol = self._loop = None
            if self._empty_waiter is not None and not self._empty_waiter.done():
                self._empty_waiter.set_exception(ConnectionError("Connection is closed by peer"))

    def _end(self) -> None:
        """Close the socket. Its operations end with Closed, so poll() resumes both sides once more."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
        if self._held:
            self._reading.close()
        self._resume = None
        server, self._server = self._server, None
        if server is not None:
            server._detach(*((self,) if sys.version_info >= (3, 13) else ()))

    def forget(self) -> None:
        """Drop the operations, because the loop is closed. The transport then warns that it was not closed itself."""
        for steps in (self._reading, self._writing):
            if steps is not None:
                steps.close()
        self._reading = self._writing = self._resume = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._end()

    def __repr__(self) -> str:
        what = "closed " if self._handle is None else "closing " if self._closing else ""
        reading = "polling" if self.is_reading() else "idle"
        writing = "polling" if self._size else "idle"
        state = "" if self._handle is None else f" read={reading} write=<{writing}, bufsize={self._size}>"
        return f"<{type(self).__name__} {what}fd={self._sock_fd}{state}>"
