"""The ciphertext of an engine, on its way to OpenSSL and from there.

What OpenSSL has not taken yet is kept here, and goes into its buffer in small parts, because that buffer never shrinks.
This module must not know what the ciphertext means.
"""

from __future__ import annotations

import ssl

from .latch import Latch, exclusive

RECORD = 1 << 14
"""The most plain bytes in a record."""

SEALED = RECORD + 256 + 5
"""The most bytes of a record."""


class Ciphertext(Latch):
    """Two buffers of OpenSSL, and what is not in them. It is the lock that protects all of this."""

    __slots__ = (
        "_eof",
        "_held",
        "_incoming",
        "_made",
        "_outgoing",
        "_received",
        "hungry",
        "pending",
    )

    def __init__(self) -> None:
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._received: bytes | memoryview = b""  # what OpenSSL has not been given yet
        self._made: tuple[bytes, ...] = ()  # what is to be sent, before what is in `_outgoing`
        self._held = 0  # how many bytes in `_outgoing` do not have to be sent alone
        self._eof = False  # no more comes
        self.hungry = False
        """Whether receive() needs more ciphertext for certain. Asking this costs less than receive()."""
        self.pending = False
        """Whether there is ciphertext to send.

        A server's session tickets alone do not count. They go out before the next thing that is sent: a client that
        never reads would answer them with a reset.
        """

    @property
    def piled_up(self) -> bool:
        """Whether the peer gets answers and does not receive them: it could ask until the memory is full."""
        return self._outgoing.pending > 2 * SEALED  # more than a thread that sends ever leaves there

    @exclusive
    def feed(self, data: bytes) -> None:
        """Take ciphertext that came; b"" means that no more will come."""
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self.hungry = False
        if data:
            self._received = b"".join((self._received, data)) if self._received else data
        else:
            self._eof = True

    def _top_up(self) -> bool:
        """Give OpenSSL a whole record if that came: it raises an error for a part. Return False if it has nothing."""
        pending = self._incoming.pending
        if self._received and pending < SEALED:
            return self._put(SEALED - pending)
        return pending > 0

    def _put(self, room: int = RECORD) -> bool:
        """Give OpenSSL the next part of what came. Return False if there is nothing."""
        received = self._received
        if not received:
            return False
        if len(received) <= room:
            self._incoming.write(received)
            self._received = b""
        else:
            whole = memoryview(received)
            self._incoming.write(whole[:room])
            self._received = whole[room:]
        return True

    @exclusive
    def take(self) -> bytes:
        """Return all ciphertext that is to be sent."""
        return self._take()

    def _take(self) -> bytes:
        self._held = 0
        self.pending = False
        if not self._made:
            return self._outgoing.read()
        data = b"".join((*self._made, self._outgoing.read()))
        self._made = ()
        return data

    def _look(self) -> None:
        """See whether OpenSSL has made ciphertext."""
        self.pending = bool(self._made) or self._outgoing.pending > self._held
