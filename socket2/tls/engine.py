"""TLS without I/O: ciphertext that came goes in, ciphertext to be sent comes out.

It never waits. A call that needs more ciphertext says so, and can be repeated after feed(). One thread receives while
another sends, perhaps in another OS thread, and OpenSSL's objects do not allow that: a lock protects them.
open() and seal() are the short way for what nearly always comes: a whole record when the engine is hungry, and data for
one record. This module knows the `ssl` module. It knows no streams and no threads.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NoReturn

from .ciphertext import RECORD, SEALED
from .failures import again, lasting, ragged
from .identity import misdirected
from .latch import crowd, exclusive, notify, take
from .wrapped import Wrapped

# How much longer than its data a record of TLS 1.3 is, if the peer has not padded it. Every record is that long.
_TAG = 22


class Engine(Wrapped):
    """One side of a TLS connection.

    `ragged_end`: take an end of the ciphertext without a close_notify for the end of the data.
    """

    __slots__ = (
        "_dry",
        "_ended",
        "_failure",
        "_peer_ended",
        "_plain",
        "_ragged_end",
        "_server_side",
        "_session",
        "_tag",
        "_tell_session",
        "established",
        "sealed",
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
        super().__init__(context, server_side, server_hostname, session)
        self.established = False
        """Whether the handshake is complete on this side."""
        self._server_side = server_side
        self._ragged_end = ragged_end
        self._plain = b""  # data that was decrypted and not taken
        self._dry = True  # OpenSSL has no decrypted data, and can decrypt none
        self._tag: int | None = None  # how much longer than its data the next record may be; None: not known
        self.sealed = 0
        """How many bytes of data are in what seal() has returned."""
        self._peer_ended = False
        self._ended = False
        self._failure: Exception | None = None
        self._session: ssl.SSLSession | None = None
        self._tell_session: Callable[[ssl.SSLSession], object] | None = None

    # The handshake.

    def handshake(self) -> bool:
        """Continue the handshake. Return whether it is complete; if not, more ciphertext is needed.

        Raises ssl.SSLError if it failed; the alert for the peer is ready to be sent then. One thread calls this, before
        any other call. No lock is held, because the context may call the program.
        """
        self._check()
        if self._server_side and not (self._received or self._eof or self.established):
            return False  # the client has to speak. OpenSSL would raise an error, which is slow
        while True:
            self._put()
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                if self._received:
                    continue
                if self._eof:
                    self._fail(ragged("the peer ended the connection during the TLS handshake"))
                self._look()
                return False
            except ssl.SSLError as error:
                self._fail(error)
            break
        if not self._server_side and (wrong := misdirected(self.ssl_object)) is not None:
            self._fail(wrong)
        self.established = True
        if self._server_side and self._ssl.version() == "TLSv1.3":
            self._held = self._outgoing.pending
        self._look()
        self._unwrap()
        return True

    # Data.

    def open(self, data: bytes, n: int) -> bytes | None:
        """Do the same as feed(data), then receive(n)."""
        try:
            del self._free
        except AttributeError:
            take(self)
        try:
            size = len(data)
            if not (self.hungry and 0 < size <= SEALED):
                self._feed(data)
                return self._receive(n)
            if n > size:
                n = size
            try:
                self._incoming.write(data)
                plain: bytes = self._ssl.read(n)
            except BaseException as error:
                return self._read_failed(error, n)
            # Most often the whole of what came was one record, so OpenSSL has nothing more, and nothing to say.
            return plain if size - len(plain) == self._tag else self._more(plain, n)
        finally:
            self._free = None
            if crowd:
                notify()

    def _more(self, first: bytes, n: int) -> bytes | None:
        """Return `first`, which has been read, with what OpenSSL has besides."""
        self._has_read(len(first), n)
        return first if not first or len(first) == n or self.hungry else self._join(first, n)

    @exclusive
    def receive(self, n: int) -> bytes | None:
        """Return 1 to `n` bytes of data; b"" at the end; None if more ciphertext is needed.

        Raises ssl.SSLError if the peer broke the rules or failed, ssl.SSLEOFError if its end was cut short.
        """
        return self._receive(n)

    def _receive(self, n: int) -> bytes | None:
        if self._plain:
            data, self._plain = self._plain[:n], self._plain[n:]
            return data
        first = self._read(min(n, RECORD))
        if not first or len(first) == n or self.hungry:
            return first
        return self._join(first, n)

    def _join(self, first: bytes, n: int) -> bytes:
        """Return up to `n` bytes of data, of which `first` has been read."""
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

    def _read(self, n: int) -> bytes | None:
        if self._peer_ended:
            return b""
        self._check()
        if self._top_up():
            self._dry = False
        elif self._dry and not self._eof:
            self.hungry = True
            return None
        try:
            data: bytes = self._ssl.read(n)
        except BaseException as error:
            return self._read_failed(error, n)
        self._has_read(len(data), n)
        return data

    def _has_read(self, size: int, n: int) -> None:
        """Find out whether there is more, after OpenSSL has returned `size` of `n` bytes."""
        self._look()
        if self._tell_session is not None:
            self._look_for_session()
        if not size and n:
            self._peer_ended = True
            self.hungry = False
        elif size < n or not self._ssl.pending():  # it is at the end of a record
            self._dry = not self._incoming.pending
            self.hungry = self._dry and not self._received and not self._eof
            if self._dry:
                self._tag = _TAG if self._ssl.version() == "TLSv1.3" else None
        else:
            self._dry = self.hungry = False

    def _read_failed(self, error: BaseException, n: int) -> bytes | None:
        """Go on after an error was raised instead of returning data."""
        self._look()
        if self._tell_session is not None:
            self._look_for_session()
        if isinstance(error, ssl.SSLWantReadError):
            self._tag = None  # OpenSSL has a part of a record, perhaps
            if self._put():
                return self._read(n)
            self._dry = True
            if not self._eof:
                self.hungry = True
                return None
            if not self._ragged_end:
                self._fail(ragged("the stream ended without a close_notify, so its data may be cut short"))
        elif not isinstance(error, ssl.SSLZeroReturnError):
            self._fail(error)
        self._peer_ended = True
        self.hungry = False
        return b""

    def watch_sessions(self, tell: Callable[[ssl.SSLSession], object]) -> None:
        """Call `tell` with each session that the server sends after the handshake. It must not use this engine."""
        self._tell_session = tell

    def _look_for_session(self) -> None:
        session = self._ssl.session
        if session is not None and session.has_ticket and session != self._session:
            self._session = session
            assert self._tell_session is not None
            self._tell_session(session)

    @exclusive
    def encrypt(self, data: bytes | memoryview) -> int:
        """Make records of `data`. Return how many bytes are in records now; less if ciphertext is needed first.

        Raises ssl.SSLError if the connection has failed, BrokenPipeError after end().
        """
        try:
            return self._encrypt(data)
        finally:
            self._look()

    def seal(self, data: bytes) -> bytes:
        """Do the same as encrypt(data), then take(). `sealed` is how many bytes are in records now."""
        try:
            del self._free
        except AttributeError:
            take(self)
        try:
            if self._made or self._failure is not None or self._ended or len(data) > RECORD:
                return self._seal(data)
            try:
                self.sealed = self._ssl.write(data)
                self._held = 0
                self.pending = False
                return self._outgoing.read()
            except BaseException as error:
                return self._write_failed(data, error)
        finally:
            self._free = None
            if crowd:
                notify()

    def _seal(self, data: bytes) -> bytes:
        self.sealed = 0
        self.sealed = self._encrypt(data)
        return self._take()

    def _write_failed(self, data: bytes, error: BaseException) -> bytes:
        self.sealed = 0
        if not isinstance(error, ssl.SSLWantReadError):
            self._fail(error)
        return self._seal(data)

    def check_sending(self) -> None:
        """Raise what encrypt() raises if nothing can be sent any more."""
        self._check()
        if self._ended:
            raise BrokenPipeError("the sending side of this TLS stream was shut down")

    def _encrypt(self, data: bytes | memoryview) -> int:
        self.check_sending()
        if len(data) <= RECORD:
            try:
                written: int = self._ssl.write(data)
            except ssl.SSLWantReadError:
                pass
            except BaseException as error:
                self._fail(error)
            else:
                return written
        return self._encrypt_all(memoryview(data))

    def _encrypt_all(self, data: memoryview) -> int:
        with data:
            done = 0
            while True:
                with data[done : done + RECORD] as piece:
                    try:
                        made: int = self._ssl.write(piece)
                        done += made
                    except ssl.SSLWantReadError:
                        if self._put():
                            # Renegotiation: OpenSSL needs what came. A read takes it in, and keeps what it decrypts.
                            self._take_in()
                            continue
                        return done
                    except BaseException as error:
                        self._fail(error)
                if done >= len(data):
                    return done
                self._made += (self._outgoing.read(),)
                self._held = 0

    def _take_in(self) -> None:
        """Decrypt what OpenSSL has, and keep it for the next receive."""
        try:
            self._plain += self._read(RECORD) or b""
            self.hungry = self.hungry and not self._plain
        except ssl.SSLError:
            pass  # the write fails as well

    @exclusive
    def end(self) -> None:
        """End sending with a close_notify. Receiving goes on. Does nothing before the handshake or after a failure."""
        if not self._ended and self.established and self._failure is None:
            self._ended = True
            self._end()
            self._look()

    def _end(self) -> None:
        # unwrap() would drop data that came, so OpenSSL must not have any.
        if pending := self._ssl.pending():
            try:
                self._plain += self._ssl.read(pending)
            except BaseException as error:
                self._fail(error)
        self.hungry = False
        received = self._incoming.read()
        try:
            self.ssl_object.unwrap()
        except ssl.SSLWantReadError:
            pass  # the peer has not ended yet
        except ssl.SSLError as error:
            self._failure = again(error)
        self._incoming.write(received)

    # Failures.

    @property
    def failure(self) -> Exception | None:
        """The error that has ended the connection, if any; a copy, to be raised."""
        return None if self._failure is None else again(self._failure)

    def _check(self) -> None:
        if self._failure is not None:
            raise again(self._failure)

    def _fail(self, error: BaseException) -> NoReturn:
        """Raise the error, now and at every later call: OpenSSL itself would raise others, which say nothing."""
        self._failure = lasting(error)
        self.hungry = False
        self._look()  # for an alert
        try:
            raise error from None
        finally:
            del error  # its traceback has this frame: avoid a cycle
