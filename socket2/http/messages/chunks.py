"""Chunked bodies, in both directions. RFC 9112, 7.1.

Extensions of chunks are checked, limited and dropped. Blanks are taken where the grammar allows bad whitespace, and
nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...streams.buffer import Buffer, LimitExceeded
from .bounds import Limits
from .errors import ProtocolError
from .fields import Fields, block_of
from .syntax import are_trailers

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+" + _TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?+"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*+)").fullmatch

_FRAMING = (b"content-length", b"transfer-encoding")

# A size has 15 digits at most; the rest is for extensions, which hardly anybody sends.
_LINE_MAX = 256


class Chunks:
    """Decodes one chunked body from a buffer."""

    __slots__ = ("_extra", "_in_data", "_left", "_limits", "_trailing", "size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = 0  # of the chunk
        self._in_data = False  # whether a chunk's data has begun, whose line end is still to come
        self._trailing = False
        self._extra = 0  # bytes of extensions
        self.size = 0  # of all chunks so far

    def next(self, buffer: Buffer, n: int, body_max: int | None) -> bytes | Fields | None:
        """Return up to `n` bytes of data, the trailers at the end, None if more must come. Raises ProtocolError."""
        if not self._left and not self._trailing and not self._next_chunk(buffer, body_max):
            return None
        if self._trailing:
            return self._trailers(buffer)
        data = buffer.some(False, min(n, self._left))
        if data is not None:
            self._left -= len(data)
        return data

    def _next_chunk(self, buffer: Buffer, body_max: int | None) -> bool:
        """Take the end of a chunk's data and the next size line. Return False if they have not come."""
        if self._in_data:
            end = buffer.exactly(False, 2)
            if end is None:
                if buffer.ahead(True, 1) not in (b"", b"\r"):
                    raise ProtocolError("a chunk is longer than its size")
                return False
            if end != b"\r\n":
                raise ProtocolError("a chunk is longer than its size")
            self._in_data = False
        try:
            line = buffer.until(False, b"\r\n", _LINE_MAX, False)
        except LimitExceeded:
            raise ProtocolError("the line with a chunk's size is too long") from None
        if line is None:
            self._check_begun(buffer)
            return False
        found = _SIZE_LINE(line)
        if found is None:
            raise ProtocolError("the size of a chunk is malformed")
        self._extra += len(found[2])
        if self._extra > self._limits.head_bytes:
            raise ProtocolError("the chunks have too many extensions")
        self._left = int(found[1], 16)
        self._trailing = not self._left
        self._in_data = self._left > 0
        self.size += self._left
        if body_max is not None and self.size > body_max:
            raise ProtocolError("the body is too large", 413)
        return True

    def _check_begun(self, buffer: Buffer) -> None:
        """Refuse the begin of a size line that cannot become one, without waiting for its end."""
        begun = buffer.ahead(True, _LINE_MAX) or b""
        if b"\n" in begun or (begun and not begun[:1].isalnum()):
            raise ProtocolError("the size of a chunk is malformed")

    def _trailers(self, buffer: Buffer) -> Fields | None:
        limits = self._limits
        begun = buffer.ahead(False, 2)
        if begun is None:
            return None
        if begun == b"\r\n":
            buffer.take(2)
            return Fields()
        try:
            block = buffer.until(False, b"\r\n\r\n", limits.head_bytes, True)
        except LimitExceeded:
            raise ProtocolError("the trailers are too long", 431) from None
        if block is None:
            lines = buffer.ahead(True, limits.head_bytes) or b""
            if lines.count(b"\n") != lines.count(b"\r\n"):
                raise ProtocolError("a line of the trailers ends with LF instead of CR LF")
            return None
        if block.count(b"\r\n") > limits.head_fields + 1:
            raise ProtocolError("there are too many trailers", 431)
        if not are_trailers(block):
            raise ProtocolError("the trailers are malformed")
        trailers = Fields.received(block[:-2])
        if any(name in _FRAMING for name, _ in trailers.raw):
            raise ProtocolError("a trailer cannot frame the message")  # some recipients believe it all the same
        return trailers


def chunk_of(data: bytes | bytearray | memoryview) -> list[bytes | bytearray | memoryview]:
    """Return the pieces of a chunk with `data`, which must not be empty: that would be the last chunk."""
    return [b"%x\r\n" % len(data), data, b"\r\n"]


def last_chunk(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"0\r\n" + block_of(trailers) + b"\r\n"
