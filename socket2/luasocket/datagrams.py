"""Objects that send and receive datagrams, UDP and UNIX alike. A datagram may be empty, and that is no end."""

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
"""(number of bytes, None), or (None, err)."""


class DatagramObject(Object[Datagrams]):
    """A datagram object: `unconnected`, or `connected` to the one peer that it sends to and receives from."""

    __slots__ = ()

    def send(self, data: ReadableBuffer) -> Operation[Sent]:
        """Send a datagram to the peer; return (its length, None), or (None, err).

        That an earlier one was refused by the peer's system is reported here or by a receive: 'connection refused'.
        Cancelled: nothing was sent. TypeError for a str, and when the object is not connected.
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
        """Receive a datagram; return (data, None), or (None, err): 'timeout', 'closed', 'connection refused'.

        What is longer than `size` bytes (8192: _DATAGRAMSIZE) is cut. Cancelled, or out of time: nothing was taken.
        Several threads may receive. ValueError and TypeError for another size.
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
        """Receive a datagram and its sender's address."""
        sock = self._open(self._family or "inet")
        data, address = yield from self._timeouts.begin().limit(sock.recvfrom(max(size, 1)))
        return data[:size], address


def size_of(size: int | None) -> int:
    size = setting("_DATAGRAMSIZE") if size is None else size
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"a size is a number of bytes, not {size!r}")
    if size < 0:
        raise ValueError(f"a size must not be negative, not {size}")
    return size
