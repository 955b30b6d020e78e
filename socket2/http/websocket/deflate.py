"""Compression of messages, without I/O: RFC 7692, permessage-deflate.

A compressor and a decompressor need some tens of kilobytes, so each is made when the first message needs it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from .closing import PROTOCOL, TOO_BIG, Violation

# A sender leaves these four bytes away, which end each message.
_TAIL = b"\x00\x00\xff\xff"

# Shorter messages do not get shorter by much.
_WORTH_MIN = 64

# How many streams may follow one another within a frame. Usual senders never end one (RFC 7692, 7.2.3.4).
_STREAMS_MAX = 16

_LEVEL, _MEMORY = zlib.Z_DEFAULT_COMPRESSION, 5  # less memory than by default, for nearly the same result


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides have agreed on. `takes_over`: whether a message may refer to the ones before it."""

    sent_bits: int
    sent_takes_over: bool
    received_bits: int
    received_takes_over: bool


class Deflate:
    """Compresses and decompresses the messages of one connection."""

    __slots__ = ("_agreement", "_in", "_out")

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._in: Any = None
        self._out: Any = None

    def is_worth_it(self, size: int, last: bool) -> bool:
        """Whether a message should be compressed that begins with so many bytes."""
        return size >= _WORTH_MIN or not last

    def compress(self, data: bytes | memoryview, last: bool) -> bytes:
        """Compress a fragment of a message."""
        if self._out is None:
            self._out = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._agreement.sent_bits, _MEMORY)
        compressed: bytes = self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)
        if not last:
            return compressed
        if not self._agreement.sent_takes_over:
            self._out = None
        return compressed.removesuffix(_TAIL) or b"\x00"

    def decompress(self, data: bytes, last: bool, room: int) -> bytes:
        """Decompress a fragment of a message, of which `room` bytes may come. Raises Violation."""
        if last:
            data += _TAIL
        pieces = []
        streams = 0
        while data:
            if self._in is None:
                self._in = zlib.decompressobj(-self._agreement.received_bits)
            try:
                # One byte more than may come, because zlib takes a limit of 0 for none.
                piece = self._in.decompress(data, room + 1)
            except zlib.error:
                raise Violation(PROTOCOL, "the message cannot be decompressed") from None
            room -= len(piece)
            if room < 0:
                raise Violation(TOO_BIG, "the message is too long after it was decompressed")
            pieces.append(piece)
            data = self._in.unconsumed_tail
            if self._in.eof:
                data = self._in.unused_data
                self._in = None
                streams += 1
                if streams == _STREAMS_MAX:
                    raise Violation(PROTOCOL, "the message has too many compressed streams")
        if last and not self._agreement.received_takes_over:
            self._in = None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
