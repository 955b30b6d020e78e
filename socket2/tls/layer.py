"""TLS over a byte stream, as a byte stream: who may receive and send, for how long, and what the connection is.

A receive that ends early has taken nothing. A send that ends early leaves ciphertext that has not left. Records cannot
be taken back, so that goes out before anything else is sent, and the stream is still usable. One thread receives while
another sends. This module knows no sockets, only the stream below.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pollers import Closed, Operation, operation

from ..sockets.address import SocketAddress
from ..sockets.hostnames import ascii_name
from ..sockets.socket import check_octets
from ..streams.claim import Claim
from ..streams.transport import ByteStream, byte_count, check_byte_stream, note_socket, room_in
from ..threads.deadline import Patience, patience
from ..threads.loop import newthread
from ..threads.scope import timeout
from ..threads.thread import currentthread, over_at_once
from ..threads.timers import duration
from .carrier import BLOCK, Carrier

if TYPE_CHECKING:
    import ssl
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

Side: TypeAlias = Literal["read", "write"]

HANDSHAKE_S = 10.0
"""The default limit for a handshake, in seconds."""


def check_context(context: object) -> None:
    """Raise TypeError if this is not an ssl.SSLContext."""
    import ssl

    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"TLS needs an ssl.SSLContext, not {context!r}")


class TLS(Carrier):
    """A byte stream inside TLS. Made by connect(), starttls(), a listener or a server with a TLS context, or directly.

    `sock`: the byte stream below, which this one owns from now on, with its timeouts. All other arguments: as in
    connect() and starttls(). It is a ByteStream: stream() takes it. One thread may receive while another sends; a
    second thread in the same direction gets Busy. The handshake is made by handshake(), or by the first operation. It
    has a limit of its own, 10 seconds by default. A handshake that fails, times out or is cancelled closes the stream.

    Errors of TLS are the `ssl` module's: ssl.SSLCertVerificationError if the peer's certificate is not trusted,
    ssl.SSLEOFError if the stream ended without a close_notify, so that its end may be cut off; another ssl.SSLError if
    the peer broke the protocol or sent an alert. After one of them both directions are over. They are OSErrors.
    """

    __slots__ = ("__weakref__", "_deaf", "_read_limit", "_reading", "_write_limit", "_writing")

    def __init__(
        self,
        sock: ByteStream,
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
        check_context(context)
        engine = Engine(
            context,
            server_side=server_side,
            server_hostname=None if server_hostname is None else ascii_name(server_hostname),
            session=session,
            ragged_end=ragged_end,
        )
        super().__init__(sock, engine, None if handshake_s is None else duration(handshake_s))
        self._deaf = False  # the receiving side was shut down
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")
        self._read_limit: Patience | None = None
        self._write_limit: Patience | None = None
        self._take_over_timeouts(sock)

    def _take_over_timeouts(self, sock: ByteStream) -> None:
        """A timeout applies to an operation of this stream, which may take several of the stream below."""
        seconds = sock.gettimeout("read"), sock.gettimeout("write")
        if seconds != (None, None):
            sock.settimeout(None)
            self.settimeout(seconds[0], "read")
            self.settimeout(seconds[1], "write")

    # What the connection is.

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The ssl.SSLObject, to ask for what this class lacks. Do not read, write or shut down with it."""
        return self._engine.ssl_object

    @property
    def version(self) -> str | None:
        """The version of TLS, such as "TLSv1.3"; None before the handshake."""
        return self.ssl_object.version() if self._ready else None

    @property
    def cipher(self) -> str | None:
        """The name of the cipher suite; None before the handshake."""
        cipher = self.ssl_object.cipher()
        return None if cipher is None else cipher[0]

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on (ALPN), such as "h2"; None if they have not."""
        return self.ssl_object.selected_alpn_protocol()

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """The peer's certificate as ssl.SSLSocket.getpeercert() returns it; None if it has none, {} if not verified."""
        return self.ssl_object.getpeercert() if self._ready else None

    @property
    def server_name(self) -> str | None:
        """The name of the server that the client asked for. On a server, only a server_context() knows it."""
        name = self.ssl_object.server_hostname
        return name if name is not None else getattr(self.ssl_object, "server_name", None)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, for connect(session=...). In TLS 1.3 it comes with the first data from the server."""
        return self.ssl_object.session

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed an earlier session."""
        return bool(self.ssl_object.session_reused)

    @property
    def closed(self) -> bool:
        """Whether this stream, or the byte stream below, was closed."""
        return self._closed or bool(self.sock.closed)

    def fileno(self) -> int:
        """Return the descriptor of the socket below, -1 if there is none (any more)."""
        fd: int = self.sock.fileno()
        return fd

    @property
    def local_address(self) -> SocketAddress:
        """The local address of the socket below. Raises AttributeError if there is no socket."""
        address: SocketAddress = self.sock.local_address
        return address

    @property
    def remote_address(self) -> SocketAddress:
        """The peer's address, from the socket below. Raises as TCP.remote_address does."""
        address: SocketAddress = self.sock.remote_address
        return address

    # Timeouts.

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Limit every operation as a whole to `seconds`; it raises TimeoutError after that. None: no limit.

        `direction`: "read", "write", or None for both. If the operation makes the handshake, and the time is over
        before its end, the stream is closed. Otherwise it is still usable. Raises ValueError as Socket.settimeout().
        """
        if direction not in ("read", "write", None):
            raise ValueError(f"direction must be 'read', 'write' or None, not {direction!r}")
        reading, writing = patience(seconds), patience(seconds)
        if direction != "write":
            self._read_limit = reading
        if direction != "read":
            self._write_limit = writing

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
        elif (turn := over_at_once()) is not None:
            yield from turn.wait()

    # Receiving.

    def recv(self, n: int = BLOCK, /) -> Operation[bytes]:
        """Receive 1 to `n` bytes; b"" after the peer's close_notify.

        A cancellation or timeout takes nothing. Raises Busy, Closed, ConnectionResetError, TimeoutError; ssl.SSLError,
        see TLS; ValueError if `n` is negative.
        """
        op = self._receive(byte_count(n), None)
        return op if self._read_limit is None else self._read_limit.limit(op)

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None, /) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length. Return the number of bytes, 0 at the end of the stream.

        A cancellation or timeout takes nothing and leaves the buffer unchanged. Raises as recv() does; TypeError if the
        buffer is read-only, ValueError if it is smaller than `n`.
        """
        op = self._receive_into(buffer, room_in(buffer, n))
        return op if self._read_limit is None else self._read_limit.limit(op)

    @operation
    def _receive_into(self, buffer: WriteableBuffer, size: int) -> Generator[Any, None, int]:
        with memoryview(buffer) as view, view.cast("B") as octets, octets[:size] as room:
            received: int = yield from self._receive(size, room)
            return received

    @operation
    def _receive(self, n: int, buffer: memoryview | None) -> Generator[Any, None, Any]:
        """Return what the engine has: data, or how much it has put into `buffer`."""
        claim = self._reading.take()
        try:
            if not self._ready:
                claim.thread = currentthread()
                yield from self._establish()
            elif not self._engine.hungry and (turn := over_at_once()) is not None:
                yield from turn.wait()
            engine = self._engine
            while True:
                if self._closed:
                    raise Closed
                if self._deaf or not n:
                    return b"" if buffer is None else 0
                if not engine.hungry:
                    received = engine.receive(n) if buffer is None else engine.receive_into(buffer)
                    if received is not None:
                        return received
                claim.thread = currentthread()
                yield from self._fill()
        except Exception as error:
            note_socket(error, self.sock)
            if self._engine.pending and not self._closed:
                yield from self._send_at_once()  # an alert
            raise
        finally:
            claim.thread = None
            claim.free.append(None)

    # Sending.

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
    def _sendall(self, data: ReadableBuffer) -> Generator[Any, None, None]:
        claim = self._writing.take()
        sent = 0
        try:
            claim.thread = currentthread()
            self._check_open()
            if not self._ready:
                yield from self._establish()
            if self._unsent:
                yield from self._flush()
            elif not data and (turn := over_at_once()) is not None:
                yield from turn.wait()
            if type(data) is bytes and 0 < len(data) <= BLOCK:  # the most frequent case
                sent = self._engine.encrypt(data)
                yield from self._flush()
                if sent == len(data):
                    return
            with memoryview(data) as view, view.cast("B") as octets:
                while sent < len(octets):
                    with octets[sent : sent + BLOCK] as piece:
                        made = self._engine.encrypt(piece)
                    sent += made
                    yield from self._flush()
                    if not made:
                        yield from self._fill()  # the peer has to say something first
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            note_socket(error, self.sock)
            raise
        finally:
            claim.thread = None
            claim.free.append(None)

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
            self._end_engine()
            if self._owes:
                newthread(self._say_goodbye(), name="close_notify")
        if how != socket.SHUT_WR:
            self._deaf = True
            self.sock.shutdown(socket.SHUT_RD)

    def _say_goodbye(self) -> Generator[Any, None, None]:
        with suppress(OSError):
            yield from self._flush()

    def end(self, *, wait: bool = False) -> Operation[None]:
        """Send a close_notify; without `wait`, only if that needs no wait. For the other rooms of socket2."""
        return self._end(wait)

    @operation
    def _end(self, wait: bool) -> Generator[Any, None, None]:
        self._end_engine()
        if self._owes and not self.closed:
            yield from self._flush() if wait else self._send_at_once()

    def _end_engine(self) -> None:
        claim = self._writing.take()
        try:
            self._engine.end()
        finally:
            claim.free.append(None)

    def finish(self, grace_s: float = 2.0) -> Operation[None]:
        """Close so that the data we sent arrives: send what is left and a close_notify, and drop input until the end.

        The peer then knows that nothing was cut off. Its end is a close_notify or the end of the stream below. After
        `grace_s` seconds, or when cancelled, the stream is closed anyway. Raises Busy if another thread sends or
        receives, and then does not close.
        """
        return self._finish(duration(grace_s))

    @operation
    def _finish(self, grace_s: float) -> Generator[Any, None, None]:
        writing = self._writing.take()
        try:
            reading = self._reading.take()
            try:
                yield from self._finish_both(grace_s)
            finally:
                reading.free.append(None)
        finally:
            writing.free.append(None)

    def _finish_both(self, grace_s: float) -> Generator[Any, None, None]:
        try:
            with suppress(OSError), timeout(grace_s):
                self._engine.end()
                yield from self._flush()
                self.sock.shutdown(socket.SHUT_WR)
                while self._ready and (data := self._engine.receive(BLOCK)) != b"":
                    if data is None:
                        yield from self._fill()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        how = "closed" if self.closed else self.version or "before the handshake"
        return f"<TLS, {how}, over {self.sock!r}>"
