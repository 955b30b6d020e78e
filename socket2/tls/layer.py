"""TLS over a byte stream, as a byte stream: who may receive and send, for how long, and what the connection is.

A receive that ends early has taken nothing. A send that ends early leaves ciphertext that has not left. Records cannot
be taken back, so that goes out before anything else is sent, and the stream is still usable. One thread receives while
another sends. This module knows no sockets, only the stream below.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pollers import CHECKING, Closed, Operation, operation

from ..sockets.socket import check_octets
from ..streams.transport import AnyByteStream, byte_count, check_byte_stream, note_socket, room_in
from ..threads.coroutines import awaiting
from ..threads.deadline import Patience, patience
from ..threads.loop import newthread
from ..threads.native import in_c
from ..threads.scope import timeout
from ..threads.thread import over_at_once
from ..threads.timers import duration
from .arguments import HANDSHAKE_S, check_client_only, check_context, handshake_limit, name_to_ask_for
from .carrier import BLOCK, ROOM
from .lane import Lane
from .negotiated import Negotiated

if TYPE_CHECKING:
    import ssl
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

Method = TypeVar("Method", bound=Callable[..., Any])
Side: TypeAlias = Literal["read", "write"]

_records = None if CHECKING else in_c("_records")
quick: Callable[[Method], Method] = (lambda method: method) if _records is None else _records.quick
"""Decorates recv(), recv_into() and sendall(): C makes the operation if it is usual, otherwise the function does."""


class TLS(Negotiated):
    """A byte stream inside TLS. Made by connect(), starttls(), a listener or a server with a TLS context, or directly.

    `sock`: the byte stream below, which this one owns from now on, with its timeouts. All other arguments: as in
    connect() and starttls(). It is a ByteStream: stream() takes it. One thread may receive while another sends; a
    second thread in the same direction gets Busy. The handshake is made by handshake(), or by the first operation. It
    has a limit of its own, 10 seconds by default. A handshake that fails, times out or is cancelled closes the stream.

    Errors of TLS are the `ssl` module's: ssl.SSLCertVerificationError if the peer's certificate is not trusted,
    ssl.SSLEOFError if the stream ended without a close_notify, so that its end may be cut off; another ssl.SSLError if
    the peer broke the protocol or sent an alert. They are OSErrors. After one of them both directions are over: a
    thread that waits in the other one gets the same error, and the stream below is closed.
    """

    __slots__ = ("__weakref__", "_read_limit", "_write_limit")

    def __init__(
        self,
        sock: AnyByteStream,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
        ragged_end: bool = False,
        handshake_s: float | None = HANDSHAKE_S,
    ) -> None:
        from .engine import Engine

        check_byte_stream(sock)
        check_context(context, server_side=server_side)
        check_client_only(server_side, server_hostname, session)
        name = name_to_ask_for(server_hostname)
        engine = Engine(context, server_side=server_side, server_hostname=name, session=session, ragged_end=ragged_end)
        super().__init__(sock, engine, handshake_limit(handshake_s))
        self._read_limit: Patience | None = None
        self._write_limit: Patience | None = None
        self._take_over_timeouts(sock)

    def _take_over_timeouts(self, sock: AnyByteStream) -> None:
        """A timeout applies to an operation of this stream, which may take several of the stream below."""
        seconds = sock.gettimeout("read"), sock.gettimeout("write")
        if seconds != (None, None):
            sock.settimeout(None)
            self.settimeout(seconds[0], "read")
            self.settimeout(seconds[1], "write")

    # Timeouts.

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Limit every operation as a whole to `seconds`; it raises TimeoutError after that. None: no limit.

        `direction`: "read", "write", or None for both. If the operation makes the handshake, and the time is over
        before its end, the stream is closed. Otherwise it is still usable. Raises ValueError as Socket.settimeout().
        """
        if direction not in ("read", "write", None):
            raise ValueError(f"direction must be 'read', 'write' or None, not {direction!r}")
        if direction != "write":
            self._read_limit = patience(seconds)
        if direction != "read":
            self._write_limit = patience(seconds)

    def gettimeout(self, direction: Side = "read") -> float | None:
        """Return the timeout of a direction in seconds, None if there is none."""
        limit = self._read_limit if direction == "read" else self._write_limit
        return None if limit is None else limit.seconds

    # The handshake.

    def handshake(self) -> Operation[None]:
        """Make the handshake, if it has not been made. Otherwise the first operation makes it.

        An error, timeout or cancellation closes the stream. Raises ssl.SSLError in OpenSSL's words,
        ssl.SSLCertVerificationError if the peer's certificate is not trusted or is for another name, ssl.SSLEOFError if
        the peer left; TimeoutError after the limit for handshakes; Closed, ConnectionResetError.
        """
        return self._handshake()

    @operation
    def _handshake(self) -> Generator[Any, None, None]:
        if not self._ready:
            yield from self._establish()
            return
        if self.closed:
            raise Closed
        if (turn := over_at_once()) is not None:
            yield from turn.wait()

    # Receiving.

    @quick
    def recv(self, n: int = BLOCK, /) -> Operation[bytes]:
        """Receive 1 to `n` bytes; b"" after the peer's close_notify.

        A cancellation or timeout takes nothing. Raises Busy, Closed, ConnectionResetError, TimeoutError; ssl.SSLError,
        see TLS; ValueError if `n` is negative.
        """
        if type(n) is not int or n < 0:
            n = byte_count(n)
        op = self._receive(n, None)
        return op if self._read_limit is None else self._read_limit.limit(op)

    @quick
    def recv_into(self, buffer: WriteableBuffer, n: int | None = None, /) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length. Return the number of bytes, 0 at the end of the stream.

        A cancellation or timeout takes nothing and leaves the buffer unchanged. Raises as recv() does; TypeError if the
        buffer is read-only, ValueError if it is smaller than `n`.
        """
        op = self._receive_into(buffer, room_in(buffer, n))
        return op if self._read_limit is None else self._read_limit.limit(op)

    @operation
    def _receive_into(self, buffer: WriteableBuffer, size: int) -> Generator[Any, None, Any]:
        with memoryview(buffer).cast("B") as room:  # holds the buffer
            return (yield from self._receive(min(size, len(room)), room))

    @operation
    def _receive(self, n: int, buffer: memoryview | None, held: Lane | None = None) -> Generator[Any, None, Any]:
        """Return data, or how much is in `buffer` now. Takes the lane if it is not held."""
        if (lane := held) is None:
            lane = self._receiving
            try:
                del lane.free
            except AttributeError:
                yield from lane.enter()
        try:
            engine = self._engine
            if not self._ready:
                yield from self._establish()
            elif not (engine.hungry and self._flowing and n) and (turn := over_at_once()) is not None:
                yield from turn.wait()
            while True:  # see threads/lock.py
                if not (self._flowing and n):
                    break
                if not engine.hungry:
                    received = engine.receive(n)
                else:
                    if engine.pending or self._unsent:
                        yield from self._answer_first()
                    try:
                        op = self.sock.recv(ROOM)
                        data = yield from (op if self._direct else awaiting(op))
                    except Exception as error:
                        self._blame(error)
                        raise
                    received = engine.open(data, n)
                    if lane.waiting:
                        lane.wake()
                if received is None:
                    continue
                if buffer is None:
                    return received
                buffer[: len(received)] = received
                return len(received)
            self._check_open()
            return b"" if buffer is None else 0
        except Exception as error:
            yield from self._report(error)
            raise
        finally:
            lane.free = None
            if lane.waiting:
                lane.wake()

    def _report(self, error: Exception) -> Generator[Any, None, None]:
        note_socket(error, self.sock)
        if not self._spread(self._sending) and self._engine.pending and not self._closed:
            yield from self._answer()  # an alert

    @operation
    def _receive_failed(self, error: Exception) -> Generator[Any, None, None]:
        """End a receive that C has made; it has the lane."""
        lane = self._receiving
        try:
            yield from self._report(error)
            self._blame(error)
            raise error
        finally:
            del error  # its traceback has this frame: avoid a cycle
            lane.free = None
            lane.wake()

    # Sending.

    @quick
    def sendall(self, data: ReadableBuffer, /) -> Operation[None]:
        """Send all of `data`; return when the stream below has accepted it.

        After an error, cancellation or timeout, `bytes_sent` on the exception is the number of bytes of `data` that are
        in records: `data[error.bytes_sent:]` is still unsent. Records that have not left go out before anything else,
        with the next send or finish(). So the stream is still usable. Raises Busy, Closed, BrokenPipeError after
        shutdown(), ConnectionResetError, TimeoutError; ssl.SSLError, see TLS.
        """
        if type(data) is not bytes:
            check_octets(data)
        op = self._sendall(data)
        return op if self._write_limit is None else self._write_limit.limit(op)

    @operation
    def _sendall(self, data: ReadableBuffer, held: Lane | None = None, sent: int = 0) -> Generator[Any, None, None]:
        """Send `data` but the first `sent` bytes. Takes the lane if it is not held."""
        if (lane := held) is None:
            lane = self._sending
            try:
                del lane.free
            except AttributeError:
                if data:
                    self._check_sending()  # whoever has the lane may wait for ever
                yield from lane.enter()
        try:
            if not self._flowing:
                self._check_open()
                if not self._ready:
                    yield from self._establish()
            if self._unsent:
                if data:
                    self._engine.check_sending()
                yield from self._push()
            elif not data and (turn := over_at_once()) is not None:
                yield from turn.wait()
            if type(data) is memoryview and data.nbytes <= BLOCK and data.c_contiguous and not sent:
                data = bytes(data)  # the copy costs less than the views for the other way
            if type(data) is bytes and 0 < len(data) <= BLOCK and not sent:  # the most frequent case
                records = self._unsent = self._engine.seal(data)
                sent = self._engine.sealed
                try:
                    op = self.sock.sendall(records)
                    yield from (op if self._direct else awaiting(op))
                except BaseException as error:
                    try:  # see _push()
                        self._unsent = records[error.bytes_sent :]  # type: ignore[attr-defined]
                    except AttributeError:
                        pass
                    self._blame(error)
                    raise
                self._unsent = b""
                if sent == len(data):
                    return
            with memoryview(data) as view, view.cast("B") as octets:
                while True:  # see threads/lock.py
                    if sent >= len(octets):
                        break
                    with octets[sent : sent + BLOCK] as piece:
                        sent += (made := self._engine.encrypt(piece))
                    yield from self._push()
                    if not made:
                        yield from self._fill()  # the peer has to say something first
        except BaseException as error:
            self._send_ended(error, sent)
            raise
        finally:
            lane.free = None
            if lane.waiting:
                lane.wake()

    def _send_failed(self, error: BaseException) -> None:
        """End a send that C has made."""
        self._send_ended(error, self._engine.sealed)
        self._blame(error)

    def _send_ended(self, error: BaseException, sent: int) -> None:
        """Note how far a send has come."""
        error.bytes_sent = sent  # type: ignore[attr-defined]
        note_socket(error, self.sock)
        self._spread(self._receiving)

    def _check_sending(self) -> None:
        try:
            self._engine.check_sending()
        except OSError as error:
            self._send_ended(error, 0)
            raise

    # Closing.

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """End one direction or both. SHUT_WR sends a close_notify: the peer's receive returns the end of the stream.

        We can still receive, as the peer can still send; but some peers close at once. This does not wait: a thread
        sends the close_notify. SHUT_RD: receives return the end of the stream from now on. Raises Busy if another
        thread is sending, Closed, OSError (ENOTCONN) before the handshake.
        """
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise ValueError(f"how must be SHUT_RD, SHUT_WR or SHUT_RDWR, not {how!r}")
        self._check_open()
        if not self._ready:
            raise OSError(errno.ENOTCONN, "the TLS handshake has not been made")
        if how != socket.SHUT_RD:
            self._sending.check()
            self._engine.end()
            if self._owes:
                newthread(self._send_later(), name="close_notify")
        if how != socket.SHUT_WR:
            self._deaf = True
            self._flowing = False
            self.sock.shutdown(socket.SHUT_RD)

    def end(self, *, wait: bool = False) -> Operation[None]:
        """Send a close_notify; without `wait`, only if that needs no wait. For the other rooms of socket2."""
        return self._end(wait)

    @operation
    def _end(self, wait: bool) -> Generator[Any, None, None]:
        self._sending.check()
        self._engine.end()
        if self._ready and self._owes and not self.closed:
            yield from self._flush() if wait else self._answer()

    def finish(self, grace_s: float = 2.0) -> Operation[None]:
        """Close so that the data we sent arrives: send what is left and a close_notify, and drop input until the end.

        The peer then knows that nothing was cut off. Its end is a close_notify or the end of the stream below. After
        `grace_s` seconds, or when cancelled, the stream is closed anyway. Raises Busy if another thread sends or
        receives, and then does not close.
        """
        return self._finish(duration(grace_s))

    @operation
    def _finish(self, grace_s: float) -> Generator[Any, None, None]:
        yield from self._sending.enter()
        try:
            yield from self._receiving.enter()
            try:
                yield from self._finish_both(grace_s)
            finally:
                self._receiving.free = None
                self._receiving.wake()
        finally:
            self._sending.free = None
            self._sending.wake()

    def _finish_both(self, grace_s: float) -> Generator[Any, None, None]:
        try:
            with suppress(OSError), timeout(grace_s):
                if self._ready:
                    self._engine.end()
                    yield from self._push()
                self.sock.shutdown(socket.SHUT_WR)
                yield from self._discard()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TLS, {'closed' if self.closed else self.version or 'before the handshake'}, over {self.sock!r}>"
