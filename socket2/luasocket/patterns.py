"""What receive() is asked for: how much of what has come it takes, and what becomes of that.

A pattern says where in the buffer it is complete, and makes the result of the bytes up to there, or, when something
ends it early, of all that there are. `prefix` is what an earlier receive had returned as its partial result.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from ..streams.buffer import Buffer


class Pattern:
    """Everything to the end of the stream: '*a'."""

    ends_with_stream: ClassVar[bool] = True
    """Whether the end of the stream completes it, if anything came at all."""

    def end(self, buffer: Buffer, prefix: bytes) -> int:
        """Return how many bytes it takes, -1 when more have to come."""
        return -1

    def result(self, prefix: bytes, data: bytes) -> bytes:
        return prefix + data


class Line(Pattern):
    """A line without its end, as LuaSocket has it: every CR in it is dropped. '*l'."""

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
    """A number of bytes, the prefix among them."""

    ends_with_stream = False

    def __init__(self, n: int) -> None:
        self._n = n

    def end(self, buffer: Buffer, prefix: bytes) -> int:
        missing = max(self._n - len(prefix), 0)
        return missing if len(buffer) >= missing else -1


_NAMED = {"*a": Pattern(), "*l": Line(), "l": LineAsIs(), "L": LineAndEnd()}
_NAMED_SHORT = 2
"""LuaSocket looks at so many characters of a pattern with a star: '*line' is '*l', '*all' is '*a'."""


def pattern_of(pattern: str | int) -> Pattern:
    """ValueError or TypeError when there is no such pattern."""
    if isinstance(pattern, str):
        found = _NAMED.get(pattern[:_NAMED_SHORT] if pattern.startswith("*") else pattern)
        if found is not None:
            return found
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern >= 0:
        return Count(pattern)
    error = ValueError if type(pattern) in (str, int) else TypeError
    raise error(f"invalid receive pattern {pattern!r}: it is '*l', '*a', 'l', 'L' or a number of bytes")
