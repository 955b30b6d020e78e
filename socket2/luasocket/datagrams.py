"""Objects for datagrams, UDP and UNIX. A datagram may be empty; that does not mean the end of anything."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pollers import Operation, operation

from ..sockets.udp import UDP as Datagrams
from .calls import call, setting
from .messages import Message, message_of
from .objects import Object

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Sent = tuple[int | None, Message | None]
"""(number of bytes, None) or (None, err)."""


class DatagramObject(Object[Datagrams]):
    """A datagram object: `unconnected`, or `connected` to one peer, to which it sends and from which it receives."""

    __slots__ = ()

    def send(self, data: ReadableBuffer) -> Operation[Sent]:
        """Send a datagram to the peer; return (its length, None) or (None, err).

        If the peer's system refused an earlier datagram, this call or a receive reports 'connection refused'. A
        cancellation sends nothing. Raises TypeError if `data` is a str or the object is not connected.
        """
        self._need("send", "connected")
        return self._send(bytes(memoryview(data)))

    @call
    def _send(self, data: bytes) -> Generator[Any, None, Sent]:
        try:
            return (yield from self._timeouts.begin().limit(self._opened.send(data))), None
        except OSError as error:
            return None, message_of(error)

    def receive(self, size: int | None = None) -> Operation[tuple[bytes | None, Message | None]]:
        """Receive a datagram; return (data, None), or (None, err) with 'timeout', 'closed' or 'connection refused'.

        A datagram longer than `size` bytes (default 8192: _DATAGRAMSIZE) is truncated. A cancellation or timeout takes
        nothing. Several threads may receive. Raises ValueError or TypeError if the size is invalid.
        """
        return self._receive(size_of(size))

    @call
    def _receive(self, size: int) -> Generator[Any, None, tuple[bytes | None, Message | None]]:
        try:
            data, _ = yield from self._take(size)
        except OSError as error:
            return None, message_of(error)
        return data, None

    @operation
    def _take(self, size: int) -> Generator[Any, None, tuple[bytes, Any]]:
        """Receive a datagram; return it and its sender's address."""
        sock = self._open(self._family or "inet")
        data, address = yield from self._timeouts.begin().limit(sock.recvfrom(max(size, 1)))
        return data[:size], address


def size_of(size: int | None) -> int:
    size = setting("_DATAGRAMSIZE") if size is None else size
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"size must be a number of bytes, not {size!r}")
    if size < 0:
        raise ValueError(f"size must not be negative: {size}")
    return size
