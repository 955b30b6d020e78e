"""Moves ciphertext between the engine and the byte stream below, and makes the handshake.

Records cannot be taken back. So ciphertext whose send was given up is kept here, and goes out before anything else. A
receive that has something to send, such as the answer to a new key, sends it without waiting; what does not leave goes
with the next send. This module knows the stream below only as a ByteStream, and nothing of who receives and sends.
Nobody uses a lane before the handshake is over: its holder sends and receives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Busy, Closed, operation

from ..sockets.socket import Socket
from ..streams.transport import AnyByteStream, note_socket
from ..threads.coroutines import awaiting
from ..threads.deadline import Patience
from ..threads.loop import newthread
from ..threads.scope import timeout
from .lane import Lane

if TYPE_CHECKING:
    import ssl

    from .engine import Engine

# How long an alert waits for the peer to receive the data before it, which another thread is sending.
ALERT_S = 1.0

BLOCK = 1 << 16
"""How much data to encrypt before it is sent."""

ROOM = BLOCK + 4 * 261
"""How much ciphertext to receive at a time: a block in records as long as they may be."""


class Carrier(pollers.Unique):
    """An engine and the byte stream below it."""

    __slots__ = (
        "_answering",
        "_closed",
        "_deaf",
        "_direct",
        "_engine",
        "_flowing",
        "_handshake_s",
        "_ready",
        "_receiving",
        "_sending",
        "_shaking",
        "_unsent",
        "sock",
    )

    def __init__(self, sock: AnyByteStream, engine: Engine, handshake_s: float | None) -> None:
        # Typed as Any, not as AnyByteStream: whoever made it from a TCP socket may want its options.
        self.sock: Any = sock
        """The byte stream below, for a socket's options and addresses. Do not receive from it or send to it."""
        self._engine = engine
        self._handshake_s = handshake_s
        self._answering = False  # a thread is there that sends all ciphertext
        self._direct = isinstance(sock, Socket)  # its operations are no coroutines: `yield from` takes them
        self._ready = False  # the handshake is over
        self._closed = False
        self._deaf = False  # the receiving side was shut down
        self._flowing = False  # ready, and neither closed nor deaf
        self._unsent: bytes = b""  # ciphertext whose send was given up. It belongs to the holder of `_sending`
        self._receiving = Lane("receiving from")
        self._sending = Lane("sending to")
        self._shaking: Lane | None = Lane("making the handshake of")  # until it is over

    def close(self) -> None:
        """Close the stream below now, without a close_notify. Operations that wait raise Closed.

        The peer then cannot know whether all data has come. Most report that as an error: see finish(). A second close
        does nothing.
        """
        self._closed = True
        self._flowing = False
        self.sock.close()

    def check_idle(self) -> None:
        """Raise Busy if another thread sends, receives or makes the handshake. For the other rooms of socket2."""
        self._receiving.check()
        self._sending.check()
        if self._shaking is not None and self._shaking.taken:
            raise Busy("another thread is making the handshake of this stream")

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

    # Failures.

    def _blame(self, error: BaseException | None = None) -> None:
        """Raise the error that has ended TLS, if any. `error`: of the stream below; only if it follows from that."""
        failure = self._engine.failure
        try:
            if failure is not None and (error is None or isinstance(error, (Closed, ConnectionError))):
                failure.bytes_sent = getattr(error, "bytes_sent", 0)  # type: ignore[attr-defined]
                raise failure from None
        finally:
            del failure, error  # its traceback has this frame: avoid a cycle

    def _spread(self, other: Lane) -> bool:
        """Let an operation in the other direction fail, too, if TLS has failed: it may wait for ever.

        Return whether the alert is taken care of.
        """
        failure = self._engine._failure
        if failure is None:
            return False
        note_socket(failure, self.sock)  # for its copies, because the socket may be closed soon
        if self._closed or not other.taken:
            return False
        if self._engine.pending:
            newthread(self._alert(), name="TLS alert")
        else:
            self.sock.close()
        return True

    @operation
    def _alert(self) -> Generator[Any, None, None]:
        """Send the alert behind what another thread is sending, if the peer receives that soon."""
        try:
            with suppress(OSError), timeout(ALERT_S):
                yield from self._flush()
        finally:
            if self._sending.taken or self._receiving.taken:
                self.sock.close()

    # The handshake.

    @operation
    def _establish(self) -> Generator[Any, None, None]:
        lane = self._shaking
        if lane is None:
            return
        waited = False
        while not lane.visit():
            yield from lane.changed()
            waited = True
        try:
            if self._ready:
                return
            if waited:
                self._blame()
            self._check_open()
            yield from self._shake_in_time()
            self._ready = True
            self._shaking = None
            self._flowing = not (self._closed or self._deaf)
        except BaseException as error:
            note_socket(error, self.sock)
            try:
                if isinstance(error, Exception) and self._engine.pending:
                    yield from self._push_without_wait()  # the alert
            finally:
                self.close()
            raise
        finally:
            lane.free = None
            lane.left()

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
                yield from self._push()
            if complete:
                return
            yield from self._refill()

    # Moving.

    def _fill(self) -> Generator[Any, None, None]:
        """Receive ciphertext for a thread that does not receive data, or wait until another thread has."""
        if self._owes:
            yield from self._answer()  # before the wait, because the peer may wait for it
        lane = self._receiving
        if not lane.visit():
            yield from lane.changed()
            return
        try:
            yield from self._refill()
        finally:
            lane.free = None
            lane.left()

    def _refill(self) -> Generator[Any, None, None]:
        """Receive ciphertext for the engine."""
        try:
            data = yield from awaiting(self.sock.recv(ROOM))
        except Exception as error:
            self._blame(error)
            raise
        self._engine.feed(data)

    def _push(self) -> Generator[Any, None, None]:
        """Send all ciphertext; `_sending` is held. What does not leave is kept."""
        engine = self._engine
        while True:
            data = self._unsent
            if not data:
                if not engine.pending:
                    return
                data = self._unsent = engine.take()
            try:
                yield from awaiting(self.sock.sendall(data))
                self._unsent = b""
            except BaseException as error:
                try:  # without a call, behind which a signal handler may raise
                    self._unsent = data[error.bytes_sent :]  # type: ignore[attr-defined]
                except AttributeError:
                    pass  # none has left
                self._blame(error)
                raise

    @operation
    def _pushing(self) -> Generator[Any, None, None]:
        yield from self._push()

    def _discard(self) -> Generator[Any, None, None]:
        """Receive up to the end of the stream, and forget it."""
        while self._ready and (data := self._engine.receive(BLOCK)) != b"":
            if data is None:
                yield from self._push()  # an answer
                yield from self._refill()

    def _push_without_wait(self) -> Generator[Any, None, None]:
        """Send what the stream below accepts without a wait; `_sending` is held. Errors appear elsewhere."""
        with suppress(OSError):
            yield from Patience(0).limit(self._pushing())

    def _answer(self) -> Generator[Any, None, None]:
        """Send what the stream below accepts without a wait. If another thread sends, have it sent afterwards."""
        lane = self._sending
        if lane.visit():
            try:
                yield from self._push_without_wait()
            finally:
                lane.free = None
                lane.left()
            return
        self._receiving.wake()  # the other thread may wait for ciphertext, and sends when it goes on
        if not self._answering:
            newthread(self._send_later(), name="TLS answer")

    def _answer_first(self) -> Generator[Any, None, None]:
        """Answer before a receive, because the peer may wait for it. If answers pile up, wait until they have left."""
        yield from self._answer()
        if self._engine.piled_up:
            yield from self._flush()

    def send_now(self, data: bytes, send: Callable[[bytes], int]) -> int | None:
        """Make a record of `data`, and let `send` take what it can without a wait. For the other rooms of socket2.

        Return how much ciphertext is left, for the next send. Return None, and do nothing, if another thread is sending
        or the peer has to say something first. At most 16 KB. Raises what `send` raises, except BlockingIOError;
        ssl.SSLError, see TLS.
        """
        if not self._ready or not self._sending.visit():
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
            self._sending.free = None
            self._sending.left()

    @operation
    def _send_later(self) -> Generator[Any, None, None]:
        with suppress(OSError):
            yield from self._flush()

    def _flush(self) -> Generator[Any, None, None]:
        """Send all ciphertext, after the operation that sends data now."""
        lane = self._sending
        self._answering = True
        try:
            while True:  # see threads/lock.py
                if lane.visit():
                    break
                yield from lane.changed()
        finally:
            self._answering = False
        try:
            yield from self._push()
        finally:
            lane.free = None
            lane.left()
