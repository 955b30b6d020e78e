"""Bytes on their way: what has come and was not taken yet, and small pieces joined before they leave.

Linear in the bytes that go through, whatever their pieces: a search goes on where the last one ended, and what is taken
from the front moves nothing, since a bytearray has room before its start. Knows nothing of sockets and waiting.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BLOCK = 1 << 16
"""What is asked of the kernel at a time, and what small pieces are joined to."""


class LimitExceeded(OSError):
    """More than `max_bytes` came before the end of what was asked for. The stream still has them. errno: EMSGSIZE."""

    def __init__(self, what: str, max_bytes: int) -> None:
        super().__init__(errno.EMSGSIZE, f"{what} is longer than {max_bytes} bytes")
        self.what = what
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.max_bytes)


class Buffer:
    """Bytes to be taken from the front. Used by one thread at a time."""

    __slots__ = ("_bytes", "_searched", "_sought")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._sought = b""  # the separator that was looked for last,
        self._searched = 0  # and how far

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> None:
        self._bytes += data

    def find(self, separator: bytes, max_bytes: int, what: str, optional: bytes = b"") -> int:
        """Return where the separator is, -1 if it has not come yet; an `optional` byte before it belongs to it.

        LimitExceeded, which says `what` was looked for, as soon as it is certain that more than `max_bytes` come first.
        """
        held = self._bytes
        if separator != self._sought:
            self._sought, self._searched = separator, 0
        start = max(self._searched - len(separator) + 1, 0)
        at = held.find(separator, start, max_bytes + len(optional) + len(separator))
        if at > max_bytes or (at < 0 and len(held) >= max_bytes + len(separator)):
            one_more = at > max_bytes or len(held) == max_bytes + len(separator)
            if not (optional and one_more and held[max_bytes : max_bytes + 1] == optional):
                raise LimitExceeded(what, max_bytes)
        if at < 0:
            self._searched = len(held)
        return at

    def head(self, n: int) -> bytes:
        """The first `n` bytes, which stay."""
        with memoryview(self._bytes) as view, view[:n] as part:
            return bytes(part)

    def take(self, n: int, drop: int = 0) -> bytes:
        """Take `n` bytes out, and `drop` more that nobody wants."""
        data = self.head(n)
        del self._bytes[: n + drop]
        self._searched = 0
        return data

    def clear(self) -> None:
        self._bytes.clear()
        self._searched = 0


def joined(pieces: Iterable[ReadableBuffer]) -> Iterator[bytearray | memoryview]:
    """Give the pieces in blocks: small ones joined to BLOCK bytes or more, large ones as they are."""
    block = bytearray()
    for piece in pieces:
        with memoryview(piece) as view, view.cast("B") as octets:
            large = len(octets) >= BLOCK
            if not large:
                block += octets
            if len(block) >= BLOCK or (large and block):
                yield block
                block = bytearray()
            if large:
                yield octets
    if block:
        yield block
