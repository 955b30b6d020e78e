"""Moves ciphertext between the engine and the byte stream below, and makes the handshake.

Records cannot be taken back. So ciphertext whose send was given up is kept here, and goes out before anything else. A
receive that has something to send, such as the answer to a new key, sends it without waiting; what does not leave goes
with the next send. This module knows the stream below only as a ByteStream, and nothing of who receives and sends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Closed, operation

from ..streams.transport import ByteStream, note_socket
from ..threads.coroutines import awaiting
from ..threads.deadline import Patience
from .lane import Lane

if TYPE_CHECKING:
    import ssl

    from .engine import Engine

BLOCK = 1 << 16
"""How much ciphertext to receive at a time, and how much data to encrypt before it is sent."""


class Carrier(pollers.Unique):
    """An engine and the byte stream below it."""

    __slots__ = (
        "_closed",
        "_engine",
        "_handshake_s",
        "_ready",
        "_receiving",
        "_sending",
        "_shaking",
        "_unsent",
        "sock",
    )

    def __init__(self, sock: ByteStream, engine: Engine, handshake_s: float | None) -> None:
        # Typed as Any, not as ByteStream: whoever made it from a TCP socket may want its options.
        self.sock: Any = sock
        """The byte stream below, for a socket's options and addresses. Do not receive from it or send to it."""
        self._engine = engine
        self._handshake_s = handshake_s
        self._ready = False  # the handshake is over
        self._closed = False
        self._unsent: bytes = b""  # ciphertext whose send was given up. It belongs to the holder of `_sending`
        self._receiving = Lane("ciphertext that another thread receives")
        self._sending = Lane("ciphertext that another thread sends")
        self._shaking = Lane("TLS handshake that another thread makes")

    def close(self) -> None:
        """Close the stream below now, without a close_notify. Operations that wait raise Closed.

        The peer then cannot know whether all data has come. Most report that as an error: see finish(). A second close
        does nothing.
        """
        self._closed = True
        self.sock.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def feed(self, data: bytes) -> None:
        """Take ciphertext that was received before this layer was there. For the other rooms of socket2."""
        self._engine.feed(data)

    def watch_sessions(self, tell: Callable[[ssl.SSLSession], object]) -> None:
        """Call `tell` with each session that the server sends. For the other rooms of socket2."""
        self._engine.watch_sessions(tell)

    @property
    def _owes(self) -> bool:
        """Whether there is ciphertext to send."""
        return bool(self._unsent) or self._engine.pending

    # The handshake.

    @operation
    def _establish(self) -> Generator[Any, None, None]:
        yield from self._shaking.take()
        try:
            if self._ready:
                return
            self._check_open()
            yield from self._shake_in_time()
            self._ready = True
        except BaseException as error:
            note_socket(error, self.sock)
            try:
                if isinstance(error, Exception) and self._engine.pending:
                    yield from self._send_at_once()  # the alert
            finally:
                self.close()
            raise
        finally:
            self._shaking.free.append(None)
            self._shaking.wake()

    @operation
    def _shake_in_time(self) -> Generator[Any, None, None]:
        if self._handshake_s is None:
            yield from self._shake()
            return
        limit = Patience(self._handshake_s)
        try:
            yield from limit.limit(self._shake())
        except TimeoutError as error:
            if limit.expired:
                error.args = (f"the TLS handshake took longer than {self._handshake_s:g} s",)
            raise

    @operation
    def _shake(self) -> Generator[Any, None, None]:
        engine = self._engine
        while True:
            complete = engine.handshake()
            if self._owes:
                yield from self._flush()
            if complete:
                return
            data = yield from awaiting(self.sock.recv(BLOCK))
            engine.feed(data)

    # Moving.

    def _fill(self) -> Generator[Any, None, None]:
        """Receive ciphertext for the engine, or wait until another thread has."""
        if self._unsent or self._engine.pending:
            yield from self._send_at_once()  # before the wait, because the peer may wait for it
        lane = self._receiving
        if not lane.take_if_free():
            yield from lane.changed()
            return
        try:
            data = yield from awaiting(self.sock.recv(BLOCK))
            self._engine.feed(data)
        finally:
            lane.free.append(None)
            lane.wake()

    def _flush(self) -> Generator[Any, None, None]:
        """Send all ciphertext that there is."""
        if not self._sending.take_if_free():
            yield from self._sending.take()
        try:
            yield from self._push()
        finally:
            self._sending.free.append(None)
            self._sending.wake()

    def _push(self) -> Generator[Any, None, None]:
        """Send all ciphertext; `_sending` is held. What does not leave is kept."""
        engine = self._engine
        while True:
            data = self._unsent
            if not data:
                if not engine.pending:
                    return
                data = self._unsent = engine.take()
            sent = 0
            try:
                yield from awaiting(self.sock.sendall(data))
                sent = len(data)
            except BaseException as error:
                sent = getattr(error, "bytes_sent", 0)
                raise
            finally:
                self._unsent = data[sent:]

    _pushing = operation(_push)

    def send_now(self, data: bytes, send: Callable[[bytes], int]) -> int | None:
        """Make a record of `data`, and let `send` take what it can without a wait. For the other rooms of socket2.

        Return how much ciphertext is left, for the next send. Return None, and do nothing, if another thread is sending
        or the peer has to say something first. At most 16 KB. Raises what `send` raises, except BlockingIOError;
        ssl.SSLError, see TLS.
        """
        if not self._ready or not self._sending.take_if_free():
            return None
        try:
            if not self._engine.encrypt(data):
                return None
            ciphertext = self._unsent + self._engine.take() if self._unsent else self._engine.take()
            self._unsent = b""  # a signal handler that raises behind the call finds it sent, as it is most of the time
            try:
                self._unsent = ciphertext[send(ciphertext) :]
            except OSError as error:
                self._unsent = ciphertext
                if not isinstance(error, BlockingIOError):
                    raise
            return len(self._unsent)
        finally:
            self._sending.free.append(None)
            self._sending.wake()

    @operation
    def _send_at_once(self) -> Generator[Any, None, None]:
        """Send what the stream below accepts without a wait, unless another thread sends. Errors appear elsewhere."""
        if self._sending.take_if_free():
            try:
                with suppress(OSError):
                    yield from Patience(0).limit(self._pushing())
            finally:
                self._sending.free.append(None)
                self._sending.wake()
