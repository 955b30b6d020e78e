"""TLS without I/O: ciphertext that came goes in, ciphertext to be sent comes out.

It never waits. A call that needs more ciphertext says so, and can be repeated after feed(). What OpenSSL has not taken
yet is kept here, and goes into its buffer in small parts, because that buffer never shrinks. One thread receives while
another sends, perhaps in another OS thread, and OpenSSL's objects do not allow that: a lock protects them.
This module knows the `ssl` module. It knows no streams and no threads.
"""

from __future__ import annotations

import copy
import ssl
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from pollers import leakproof

RECORD = 1 << 14
"""The most plain bytes in a record."""


class Engine:
    """One side of a TLS connection.

    `ragged_end`: take an end of the ciphertext without a close_notify for the end of the data.
    """

    __slots__ = (
        "_dry",
        "_ended",
        "_eof",
        "_failure",
        "_held",
        "_incoming",
        "_lock",
        "_made",
        "_outgoing",
        "_peer_ended",
        "_plain",
        "_ragged_end",
        "_received",
        "_server_side",
        "_session",
        "_tell_session",
        "established",
        "hungry",
        "ssl_object",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
        ragged_end: bool = False,
    ) -> None:
        if context.check_hostname and not server_side and not server_hostname:  # the ssl module would check no name
            raise ValueError("the context checks the server's name: give server_hostname")
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname, session)
        self.established = False
        """Whether the handshake is complete on this side."""
        self._server_side = server_side
        self._ragged_end = ragged_end
        self._lock = leakproof(threading.Lock())
        self._received: bytes | memoryview = b""  # ciphertext that OpenSSL has not been given yet
        self._plain = b""  # data that was decrypted and not taken
        self._made: list[bytes] = []  # ciphertext to send, before that in `_outgoing`
        self._held = 0  # how many bytes in `_outgoing` do not have to be sent alone
        self._dry = True  # OpenSSL has no decrypted data, and can decrypt none
        self.hungry = False
        """Whether receive() needs more ciphertext for certain. Asking this costs less than receive()."""
        self._eof = False  # no more ciphertext comes
        self._peer_ended = False
        self._ended = False
        self._failure: Exception | None = None
        self._session: ssl.SSLSession | None = None
        self._tell_session: Callable[[ssl.SSLSession], object] | None = None

    # Ciphertext.

    def feed(self, data: bytes) -> None:
        """Take ciphertext that came; b"" means that no more will come."""
        with self._lock:
            self.hungry = False
            if data:
                self._received = b"".join((self._received, data)) if self._received else data
            else:
                self._eof = True

    def _put(self) -> bool:
        """Give OpenSSL the next part of what came. Return False if there is nothing."""
        received = self._received
        if not received:
            return False
        if len(received) <= RECORD:
            self._incoming.write(received)
            self._received = b""
        else:
            whole = memoryview(received)
            self._incoming.write(whole[:RECORD])
            self._received = whole[RECORD:]
        return True

    @property
    def pending(self) -> bool:
        """Whether there is ciphertext to send.

        A server's session tickets alone do not count. They go out before the next thing that is sent: a client that
        never reads would answer them with a reset.
        """
        return bool(self._made) or self._outgoing.pending > self._held

    def take(self) -> bytes:
        """Return all ciphertext that is to be sent."""
        with self._lock:
            self._held = 0
            if not self._made:
                return self._outgoing.read()
            data = b"".join((*self._made, self._outgoing.read()))
            self._made.clear()
            return data

    # The handshake.

    def handshake(self) -> bool:
        """Continue the handshake. Return whether it is complete; if not, more ciphertext is needed.

        Raises ssl.SSLError if it failed; the alert for the peer is ready to be sent then. One thread calls this, before
        any other call. No lock is held, because the context may call the program.
        """
        self._check()
        while True:
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                if self._put():
                    continue
                if self._eof:
                    self._fail(_eof("the peer ended the connection during the TLS handshake"))
                return False
            except ssl.SSLError as error:
                self._fail(error)
            break
        self.established = True
        if self._server_side and self.ssl_object.version() == "TLSv1.3":
            self._held = self._outgoing.pending
        return True

    # Data.

    def receive(self, n: int) -> bytes | None:
        """Return 1 to `n` bytes of data; b"" at the end; None if more ciphertext is needed.

        Raises ssl.SSLError if the peer broke the rules or failed, ssl.SSLEOFError if its end was cut short.
        """
        with self._lock:
            if self._plain:
                data, self._plain = self._plain[:n], self._plain[n:]
                return data
            first: bytes | None = self._read(min(n, RECORD))
            if not first or len(first) == n or self.hungry:
                return first
            pieces, size = [first], len(first)
            while size < n and not self.hungry:
                try:
                    piece = self._read(min(n - size, RECORD))
                except ssl.SSLError:  # it is raised again by the next call
                    break
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces)

    def receive_into(self, buffer: memoryview) -> int | None:
        """Put data into `buffer`. Return how many bytes; 0 at the end; None if more ciphertext is needed.

        The data of one record at most. Raises as receive() does.
        """
        with self._lock:
            if self._plain:
                data, self._plain = self._plain[: len(buffer)], self._plain[len(buffer) :]
                buffer[: len(data)] = data
                return len(data)
            received: int | None = self._read(len(buffer), buffer)
            return received

    def _read(self, n: int, *buffer: memoryview) -> Any:
        if self._peer_ended:
            return 0 if buffer else b""
        self._check()
        if self._incoming.pending or self._put():
            self._dry = False
        elif self._dry and not self._eof:
            self.hungry = True
            return None
        data: Any
        while True:
            try:
                data = self.ssl_object.read(n, *buffer)
            except ssl.SSLWantReadError:
                if self._put():
                    continue
                self._dry = True
                if self._tell_session is not None:
                    self._look_for_session()
                if not self._eof:
                    self.hungry = True
                    return None
                if not self._ragged_end:
                    self._fail(_eof("the stream ended without a close_notify, so its data may be cut short"))
                data = 0 if buffer else b""
            except ssl.SSLZeroReturnError:
                data = 0 if buffer else b""
            except ssl.SSLError as error:
                self._fail(error)
            if not data and n:
                self._peer_ended = True
            elif (data if buffer else len(data)) < n:  # it is at the end of a record
                self._dry = not self._incoming.pending
                self.hungry = self._dry and not self._received and not self._eof
            if self._tell_session is not None:
                self._look_for_session()
            return data

    def watch_sessions(self, tell: Callable[[ssl.SSLSession], object]) -> None:
        """Call `tell` with each session that the server sends after the handshake. It must not use this engine."""
        self._tell_session = tell

    def _look_for_session(self) -> None:
        session = self.ssl_object.session
        if session is not None and session.has_ticket and session != self._session:
            self._session = session
            assert self._tell_session is not None
            self._tell_session(session)

    def encrypt(self, data: bytes | memoryview) -> int:
        """Make records of `data`. Return how many bytes are in records now; less if ciphertext is needed first.

        Raises ssl.SSLError if the connection has failed, BrokenPipeError after end().
        """
        with self._lock:
            self._check()
            if self._ended:
                raise BrokenPipeError("the sending side of this TLS stream was shut down")
            if len(data) <= RECORD:
                try:
                    return self.ssl_object.write(data)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError as error:
                    self._fail(error)
            return self._encrypt_all(memoryview(data))

    def _encrypt_all(self, data: memoryview) -> int:
        with data:
            done = 0
            while True:
                with data[done : done + RECORD] as piece:
                    try:
                        done += self.ssl_object.write(piece)
                    except ssl.SSLWantReadError:
                        if self._put():
                            # Renegotiation: OpenSSL needs what came. A read takes it in, and keeps what it decrypts.
                            self._take_in()
                            continue
                        return done
                    except ssl.SSLError as error:
                        self._fail(error)
                if done >= len(data):
                    return done
                self._made.append(self._outgoing.read())
                self._held = 0

    def _take_in(self) -> None:
        """Decrypt what OpenSSL has, and keep it for the next receive."""
        try:
            self._plain += self._read(RECORD) or b""
            self.hungry = self.hungry and not self._plain
        except ssl.SSLError:
            pass  # the write fails as well

    def end(self) -> None:
        """End sending with a close_notify. Receiving goes on. Does nothing before the handshake or after a failure."""
        with self._lock:
            if self._ended or not self.established or self._failure is not None:
                return
            self._ended = True
            # unwrap() would drop data that came, so OpenSSL must not have any.
            if self.ssl_object.pending():
                self._plain += self.ssl_object.read(self.ssl_object.pending())
            self.hungry = False
            received = self._incoming.read()
            try:
                self.ssl_object.unwrap()
            except ssl.SSLWantReadError:
                pass  # the peer has not ended yet
            except ssl.SSLError as error:
                self._failure = _copy(error)
            self._incoming.write(received)

    # Failures.

    def _check(self) -> None:
        if self._failure is not None:
            raise _copy(self._failure)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise the error, now and at every later call: OpenSSL itself would raise others, which say nothing."""
        self._failure = _copy(error)
        self.hungry = False
        try:
            raise error from None
        finally:
            del error  # its traceback has this frame: avoid a cycle


def _copy(error: Exception) -> Exception:
    return copy.copy(error).with_traceback(None)


def _eof(text: str) -> ssl.SSLEOFError:
    error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, text)
    error.library, error.reason = "SSL", "UNEXPECTED_EOF_WHILE_READING"
    return error
