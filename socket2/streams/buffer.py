"""The buffers of a stream: bytes that arrived but were not taken yet, and small pieces joined before they are sent.

The work is linear in the number of bytes, however many pieces they come in. A piece that comes into an empty buffer is
kept as it is, and a moving index takes bytes from it. Several pieces are joined in one growing bytearray. A search
continues where the last one ended. An empty buffer owns no memory. This module knows no sockets and never waits.
"""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BLOCK = 1 << 16
"""How many bytes to ask the kernel for at a time. Small pieces are joined to blocks of this size."""


class IncompleteRead(EOFError):
    """The stream ended before everything that was asked for had come.

    `partial` holds the bytes that had come; the stream still has them.
    """

    def __init__(self, what: str, partial: bytes) -> None:
        super().__init__(f"the stream ended after {len(partial)} bytes of {what}")
        self.what = what
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.partial), self.__dict__


class LimitExceeded(OSError):
    """More than `max_bytes` bytes came before the end of what was asked for. The stream keeps them. errno: EMSGSIZE."""

    def __init__(self, what: str, max_bytes: int) -> None:
        super().__init__(errno.EMSGSIZE, f"{what} is longer than {max_bytes} bytes")
        self.what = what
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.max_bytes), self.__dict__


class Buffer:
    """Bytes that are added at the back and taken from the front. Used by one thread at a time."""

    __slots__ = ("_at", "_held", "_searched", "_sought")

    def __init__(self) -> None:
        self._held: bytes | bytearray = b""
        self._at = 0  # where in `_held` the bytes begin that have not been taken
        self._sought = b""  # the separator that the last search looked for
        self._searched = 0  # how many bytes are known not to contain it

    def __len__(self) -> int:
        return len(self._held) - self._at

    def add(self, data: bytes) -> None:
        if not self._held:
            self._held = data
            return
        if not isinstance(self._held, bytearray):
            self._held = bytearray(self._held[self._at :])
        else:
            del self._held[: self._at]  # moves nothing: a bytearray has room before its start
        self._at = 0
        self._held += data

    def take(self, n: int, drop: int = 0) -> bytes:
        """Take `n` bytes, or all if there are fewer, and drop the next `drop` bytes."""
        held, at = self._held, self._at
        end = at + n
        data = held[at:end]
        if type(data) is not bytes:
            data = bytes(data)
        end += drop
        if end < len(held):
            self._at = end
            self._searched = 0
        else:
            self._held = b""
            self._at = self._searched = 0
        return data

    def clear(self) -> None:
        self._held = b""
        self._at = self._searched = 0

    # Each method returns what was asked for, or None if it has not come yet. `ended`: no more bytes will come.

    def some(self, ended: bool, n: int) -> bytes | None:
        return self.take(n) if self._held or ended or not n else None

    def exactly(self, ended: bool, n: int) -> bytes | None:
        if len(self) >= n:
            return self.take(n)
        if ended:
            raise self._incomplete(str(n))
        return None

    def ahead(self, ended: bool, n: int) -> bytes | None:
        return bytes(self._held[self._at : self._at + n]) if ended or len(self) >= n else None

    def everything(self, ended: bool, max_bytes: int) -> bytes | None:
        if len(self) > max_bytes:
            raise LimitExceeded("the stream", max_bytes)
        return self.take(len(self)) if ended else None

    def until(self, ended: bool, separator: bytes, max_bytes: int, keep_end: bool) -> bytes | None:
        what = f"data that ends in {separator!r}"
        at = self.find(separator, max_bytes, what)
        if at >= 0:
            return self.take(at + len(separator)) if keep_end else self.take(at, len(separator))
        if ended:
            raise self._incomplete(what)
        return None

    def line(self, ended: bool, max_bytes: int, keep_end: bool) -> bytes | None:
        begin = self._at
        at = -1 if self._searched else self._held.find(b"\n", begin, begin + max_bytes + 1) - begin
        if at < 0:
            at = self.find(b"\n", max_bytes, "a line", b"\r")
        if at >= 0:
            return self.take(at + 1) if keep_end else self.take(at, 1).removesuffix(b"\r")
        if ended and self._held:
            raise self._incomplete("a line")
        return None

    def find(self, separator: bytes, max_bytes: int, what: str, optional: bytes = b"") -> int:
        """Return the position of the separator, -1 if it has not come yet. An `optional` byte before it belongs to it.

        Raises LimitExceeded for `what` as soon as it is certain that more than `max_bytes` come first.
        """
        held, begin = self._held, self._at
        start = begin
        if self._searched and separator == self._sought:
            start += max(self._searched - len(separator) + 1, 0)
        at = held.find(separator, start, begin + max_bytes + len(separator))
        return at - begin if at >= 0 else self._not_found(separator, max_bytes, what, optional)

    def _not_found(self, separator: bytes, max_bytes: int, what: str, optional: bytes) -> int:
        """Continue find() if the separator is not within the first `max_bytes`: it comes later, or too late."""
        held, limit = self._held, self._at + max_bytes
        is_optional = optional != b"" and held[limit : limit + 1] == optional
        if is_optional and held.startswith(separator, limit + 1):
            return max_bytes + 1
        if len(held) < limit + len(separator) + is_optional:
            self._sought, self._searched = separator, len(self)
            return -1
        raise LimitExceeded(what, max_bytes)

    def _incomplete(self, what: str) -> IncompleteRead:
        return IncompleteRead(what, bytes(self._held[self._at :]))


def joined(pieces: Iterable[ReadableBuffer]) -> Generator[bytearray | memoryview, None, None]:
    """Yield the pieces in blocks: small ones joined to BLOCK bytes or more, large ones as they are.

    Closing the generator releases the large piece that it yielded last.
    """
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
