"""Gives the connection of a socket to a layer above it, such as TLS, for good: the socket reads and writes no more.

Its own data comes first in both directions: what was written before still leaves, and what was received and not emitted
belongs to the layer. The socket keeps its addresses and options, and closing it closes the connection.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pollers import Closed, operation

from ..streams.transport import ByteStream
from ..threads.lock import lock
from ..threads.wait import Wait
from .readable import Reading
from .writable import Writing


class Lending(Reading, Writing):
    """The sides of a socket, which can make room for a layer."""

    def _promise(self) -> None:
        """Read no more from now on, because lend() will be called."""
        self._lent = True
        self._flowing = False  # what still comes is kept
        self._onread = None
        self._wanted()

    @operation
    def _lend(self) -> Generator[Any, None, tuple[ByteStream, bytes]]:
        """Return the connection, and what was received from it. Raises Closed, OSError."""
        if self._queued or self._flushing:
            yield from self.send(b"")  # behind everything else
        reader = self._reader
        if reader is not None:
            self._lending = Wait(f"reader of {self!r}")
            reader.cancel()
            yield from self._lending.wait()
        with lock:
            self._handle = self._send = None
            received = b"".join(self._chunks)
            self._chunks.clear()
            self._unread = 0
            self._reading = False
        self._count()
        return self._layer(), received

    def _layer(self) -> ByteStream:
        """Return what a layer above can use. Raises Closed. To be overridden."""
        tcp = self._tcp
        if tcp is None:
            raise Closed
        return tcp
