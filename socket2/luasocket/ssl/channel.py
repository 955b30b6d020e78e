"""TLS over one socket, as LuaSec's calls need it: each can be given up and made again, also the handshake.

A send that is given up has made records that cannot be taken back. Its caller sends the same bytes again, as OpenSSL
requires. They are recognized, and do not go out twice. This module knows no timeouts and no LuaSec.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from pollers import operation

from ...threads.loop import newthread
from ...threads.scheduler import current_scheduler
from ...threads.scope import timeout
from ...threads.thread import over_at_once
from ...tls.carrier import BLOCK, Carrier
from ...tls.engine import Engine

_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)


class Channel(Carrier):
    """An engine over a TCP or UNIX socket. One thread receives while another sends; the handshake is made by one."""

    __slots__ = ("_ahead", "sends")

    def __init__(self, sock: Any, engine: Engine) -> None:
        super().__init__(sock, engine, None)
        self.sends = False
        """Whether the handshake is sending. Otherwise it waits for the peer."""
        self._ahead = b""  # bytes that are in records, and that no send has reported

    @property
    def ssl_object(self) -> ssl.SSLObject:
        return self._engine.ssl_object

    @property
    def established(self) -> bool:
        return self._ready

    @operation
    def shake(self) -> Generator[Any, None, None]:
        """Make the handshake, or continue it. After an error of TLS, the alert is sent if that needs no wait."""
        try:
            yield from self._shake()
        except ssl.SSLError:
            if self._owes:
                yield from self._answer()
            raise
        self._ready = True

    def _push(self) -> Generator[Any, None, None]:
        self.sends = True
        yield from super()._push()
        self.sends = False

    # Data.

    @operation
    def recv(self, n: int) -> Generator[Any, None, bytes]:
        """Receive 1 to `n` bytes; b"" at the end. Raises ssl.SSLError, Closed, OSError. If given up, takes nothing."""
        engine = self._engine
        if (self._deaf or not engine.hungry) and (turn := over_at_once()) is not None:
            yield from turn.wait()
        try:
            while not self._deaf:
                if not engine.hungry:
                    data = engine.receive(n)
                    if data is not None:
                        return data
                if engine.pending:
                    yield from self._answer_first()
                yield from self._fill()
            return b""
        except Exception:
            if engine.pending:
                yield from self._answer()  # an alert
            raise

    def at_hand(self, n: int) -> bytes | None:
        """Return bytes that need no receive; b"" if a receive would return or raise at once, None if it would not."""
        if self._deaf:
            return b""
        try:
            return None if self._engine.hungry else self._engine.receive(n)
        except OSError:
            return b""

    @operation
    def send(self, data: memoryview) -> Generator[Any, None, int]:
        """Send some of `data`; return how much has left. If given up, the same data has to be sent again.

        Raises ssl.SSLError, Closed, OSError, also if these are other data than the last time.
        """
        if self._ahead:
            if not data[: len(self._ahead)] == self._ahead:
                raise OSError("bad write retry")
            made = len(self._ahead)
        else:
            made = yield from self._encrypt(data)
        try:
            yield from self._flush()
        except BaseException:
            if not self._ahead:
                self._ahead = bytes(data[:made])
            raise
        self._ahead = b""
        return made

    def _encrypt(self, data: memoryview) -> Generator[Any, None, int]:
        with data[:BLOCK] as piece:
            while True:  # see threads/lock.py
                made = self._engine.encrypt(piece)
                if made:
                    break
                yield from self._flush()
                yield from self._fill()  # the peer has to say something first
        return made

    def forget_ahead(self) -> int:
        """Let the next send begin with other data. Return how many bytes will be sent that no send has reported."""
        ahead, self._ahead = len(self._ahead), b""
        return ahead

    # The end.

    def shutdown(self, how: int) -> None:
        """End one direction or both: a close_notify ends sending. Raises Closed."""
        self._check_open()
        if how != socket.SHUT_RD:
            self._engine.end()
            self._push_at_once()
            if self._owes:
                newthread(self._say_goodbye(), name="close_notify")
        if how != socket.SHUT_WR:
            self._deaf = True
            self.sock.shutdown(socket.SHUT_RD)

    def _say_goodbye(self) -> Generator[Any, None, None]:
        with suppress(OSError):
            yield from self._flush()

    def say_goodbye_at_once(self) -> bool:
        """Send a close_notify, as far as that needs no wait. Return whether there is still something to send.

        If there is not, the socket can be closed.
        """
        if self._closed or self.sock.closed or not self._ready:
            return False
        self._engine.end()
        self._push_at_once()
        with suppress(OSError):
            self._drop_what_came()
        return self._owes

    @operation
    def linger(self, seconds: float) -> Generator[Any, None, None]:
        """Send what is left, within some seconds, and close the socket."""
        try:
            with suppress(OSError), timeout(seconds):
                yield from self._flush()
        finally:
            self.close()

    def _push_at_once(self) -> None:
        """Send what the kernel takes now, outside of any thread's wait."""
        if not self._sending.visit():
            return  # the thread that sends will send all that there is
        try:
            data = self._unsent + (self._engine.take() if self._engine.pending else b"")
            self._unsent = data
            if data and self._is_ready(writing=True):
                self._unsent = data[self.sock.std.send(data, _FLAGS) :]
        except OSError as error:
            self.sock.handle.told(error)
        finally:
            self._sending.free = None
            self._sending.left()

    def _drop_what_came(self) -> None:
        """Take what came and nobody wants, such as session tickets: the kernel answers it with a reset otherwise.

        A reset destroys what was sent and has not been read.
        """
        if self._receiving.visit():
            try:
                if self._is_ready(writing=False):
                    self.sock.std.recv(BLOCK)
            finally:
                self._receiving.free = None
                self._receiving.left()

    def _is_ready(self, writing: bool) -> bool:
        fd = self.sock.fileno()
        return fd in current_scheduler().poller.ready(() if writing else (fd,), (fd,) if writing else ())[writing]
