"""The patterns of receive(): how much of the buffer one takes, and what it makes of that.

A pattern finds where it is complete in the buffer, and makes the result from the bytes up to there. If the receive ends
early, it makes the result from all the bytes. `prefix` is the partial result of an earlier receive.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from ..streams.buffer import Buffer


class Pattern:
    """Everything to the end of the stream: '*a'."""

    ends_with_stream: ClassVar[bool] = True
    """Whether the end of the stream completes the pattern, if any data came at all."""

    def end(self, buffer: Buffer, prefix: bytes) -> int:
        """Return how many bytes the pattern takes, -1 if more must come."""
        return -1

    def result(self, prefix: bytes, data: bytes) -> bytes:
        return prefix + data


class Line(Pattern):
    """A line without its end. As in LuaSocket, every CR in it is dropped. '*l'."""

    ends_with_stream = False

    def end(self, buffer: Buffer, prefix: bytes) -> int:
        at = buffer.find(b"\n", sys.maxsize, "a line")
        return at + 1 if at >= 0 else -1

    def result(self, prefix: bytes, data: bytes) -> bytes:
        return prefix + data.removesuffix(b"\n").replace(b"\r", b"")


class LineAsIs(Line):
    """A line without its end, LF or CR LF; other CRs stay. 'l'."""

    def result(self, prefix: bytes, data: bytes) -> bytes:
        line = prefix + data
        return line[:-1].removesuffix(b"\r") if data.endswith(b"\n") else line


class LineAndEnd(Line):
    """A line with its end. 'L'."""

    def result(self, prefix: bytes, data: bytes) -> bytes:
        return prefix + data


class Count(Pattern):
    """A number of bytes, including the prefix."""

    ends_with_stream = False

    def __init__(self, n: int) -> None:
        self._n = n

    def end(self, buffer: Buffer, prefix: bytes) -> int:
        missing = max(self._n - len(prefix), 0)
        return missing if len(buffer) >= missing else -1


_NAMED = {"*a": Pattern(), "*l": Line(), "l": LineAsIs(), "L": LineAndEnd()}
_NAMED_SHORT = 2
"""How many characters LuaSocket looks at in a pattern with a star: '*line' is '*l', '*all' is '*a'."""


def pattern_of(pattern: str | int) -> Pattern:
    """Return the pattern with this name. Raises ValueError or TypeError if there is none."""
    if isinstance(pattern, str):
        found = _NAMED.get(pattern[:_NAMED_SHORT] if pattern.startswith("*") else pattern)
        if found is not None:
            return found
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern >= 0:
        return Count(pattern)
    error = ValueError if type(pattern) in (str, int) else TypeError
    raise error(f"invalid receive pattern {pattern!r}: expected '*l', '*a', 'l', 'L' or a number of bytes")
