"""Bytes to fragments of messages and control frames, and back, without I/O.

What a frame's head says is checked before its payload has come: no more than a limit is ever kept. One frame is decoded
at a time, when it is asked for, so a block of bytes that inflates to much more does so in steps.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from io import StringIO
from typing import NamedTuple

from ...streams.buffer import Buffer
from .closing import NO_CODE, NOT_UTF8, PROTOCOL, TOO_BIG, Close, Violation, may_be_received
from .deflate import Deflate
from .entropy import unpredictable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

CONTROL_MAX = 125  # bytes
_NO_LIMIT = 1 << 62
_HEAD_MAX = 14

_utf8 = codecs.getincrementaldecoder("utf-8")


class Fragment(NamedTuple):
    """A piece of a message. `last`: whether the message ends with it."""

    data: str | bytes
    last: bool


class Control(NamedTuple):
    """A ping or a pong. `data`: its payload."""

    is_ping: bool
    data: bytes


class Message:
    """A message that comes in fragments. They are joined as they come, so small ones cost no more than large ones."""

    __slots__ = ("_octets", "_text")

    def __init__(self) -> None:
        self._text: StringIO | None = None
        self._octets = bytearray()

    def add(self, data: str | bytes) -> None:
        if isinstance(data, str):
            if self._text is None:
                self._text = StringIO(newline="")
            self._text.write(data)
        else:
            self._octets += data

    def whole(self) -> str | bytes:
        return bytes(self._octets) if self._text is None else self._text.getvalue()


class _Head(NamedTuple):
    opcode: int
    last: bool
    is_compressed: bool
    length: int
    mask: bytes


def masking() -> Callable[[bytes, bytes], bytes]:
    """Return the function that masks data. Raises ImportError with advice if the package `websockets` is missing."""
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        try:
            from websockets.utils import apply_mask
        except ModuleNotFoundError as error:
            raise ImportError("WebSockets need the package `websockets`: pip install 'socket2[http]'") from error
    return apply_mask


class Frames:
    """The frames of one connection.

    `joined`: how many bytes of the present message were received, counted after decompression. The reader sets it to 0
    when it has taken them. `max_bytes`: how much that may be.
    """

    __slots__ = (
        "_buffer",
        "_continues",
        "_decode",
        "_deflate",
        "_head",
        "_in_message",
        "_is_client",
        "_is_compressed",
        "_is_text",
        "_mask",
        "_sends_compressed",
        "joined",
        "max_bytes",
    )

    def __init__(self, is_client: bool, max_bytes: int | None = None, deflate: Deflate | None = None) -> None:
        self._mask = masking()
        self._is_client = is_client
        self._deflate = deflate
        self.max_bytes = _NO_LIMIT if max_bytes is None else max_bytes
        self.joined = 0
        self._buffer = Buffer()
        self._head: _Head | None = None  # of the frame that has begun
        self._continues = False  # whether a message of the peer has begun and not ended
        self._is_compressed = False  # whether it is compressed
        self._decode: Callable[[bytes, bool], str] | None = None  # of its text
        self._in_message = False  # whether one of ours has begun and not ended
        self._is_text = self._sends_compressed = False

    # What the peer sends.

    def receive(self, data: bytes) -> None:
        self._buffer.add(data)

    def next(self) -> Fragment | Control | Close | None:
        """Return what the next frame is, None if more must come. Raises Violation, after which nothing can come."""
        head = self._head
        if head is None:
            head = self._head = self._begin()
            if head is None:
                return None
        opcode, last, is_compressed, length, mask = head
        if len(self._buffer) < length:
            return None
        data = self._buffer.take(length) if length else b""
        self._head = None
        if mask:
            data = self._mask(data, mask)
        if opcode <= BINARY:
            return self._fragment(opcode, data, last, is_compressed)
        return _close_of(data) if opcode == CLOSE else Control(opcode == PING, data)

    def _begin(self) -> _Head | None:
        """Return the head of the next frame, None if more must come. Refuse as early as possible."""
        seen = self._buffer.ahead(True, _HEAD_MAX)
        if seen is None or len(seen) < 2:
            return None
        first, second = seen[0], seen[1]
        opcode, length = first & 0x0F, second & 0x7F
        self._check(first, opcode, length)
        if (second < 0x80) != self._is_client:
            problem = "the server must not mask its frames" if self._is_client else "the client must mask its frames"
            raise Violation(PROTOCOL, problem)
        size = 2
        if length > CONTROL_MAX:
            least, size = (126, 4) if length == 126 else (1 << 16, 10)
            if len(seen) < size:
                return None
            length = int.from_bytes(seen[2:size])
            if length < least or length >> 63:
                raise Violation(PROTOCOL, "the length of a frame must be encoded in as few bytes as possible")
        is_compressed = self._is_compressed if opcode == CONTINUATION else first & 0x40 != 0
        if opcode <= BINARY:
            room = self.max_bytes - self.joined
            if length > (room + (room >> 8) + 1024 if is_compressed else room):
                raise self._too_long()
        mask = b""
        if not self._is_client:
            mask = seen[size : size + 4]
            size += 4
            if len(seen) < size:
                return None
        self._buffer.take(0, size)
        return _Head(opcode, first >= 0x80, is_compressed, length, mask)

    def _check(self, first: int, opcode: int, length: int) -> None:
        """Check what the first two bytes say."""
        if first & 0x30 or (first & 0x40 and (self._deflate is None or opcode not in (TEXT, BINARY))):
            raise Violation(PROTOCOL, "a reserved bit is set that no extension defines")
        if opcode & 8:
            if opcode > PONG:
                raise Violation(PROTOCOL, f"the opcode {opcode} is reserved")
            if length > CONTROL_MAX:
                raise Violation(PROTOCOL, "a control frame is longer than 125 bytes")
            if first < 0x80:
                raise Violation(PROTOCOL, "a control frame is fragmented")
        elif opcode > BINARY:
            raise Violation(PROTOCOL, f"the opcode {opcode} is reserved")
        elif (opcode == CONTINUATION) != self._continues:
            within = "a message begins within another" if self._continues else "a continuation continues no message"
            raise Violation(PROTOCOL, within)

    def _fragment(self, opcode: int, data: bytes, last: bool, is_compressed: bool) -> Fragment:
        if is_compressed:
            assert self._deflate is not None
            data = self._deflate.decompress(data, last, self.max_bytes - self.joined)
        if opcode != CONTINUATION:
            self._is_compressed = is_compressed
            self._decode = None
            if opcode == TEXT:
                if last:
                    self.joined += len(data)
                    try:
                        return Fragment(data.decode(), True)
                    except UnicodeDecodeError:
                        raise Violation(NOT_UTF8, "the text is not UTF-8") from None
                self._decode = _utf8().decode
        self._continues = not last
        self.joined += len(data)
        if self._decode is None:
            return Fragment(data, last)
        try:
            return Fragment(self._decode(data, last), last)
        except UnicodeDecodeError:
            raise Violation(NOT_UTF8, "the text is not UTF-8") from None

    def _too_long(self) -> Violation:
        return Violation(TOO_BIG, f"the message is longer than {self.max_bytes} bytes")

    # What we send.

    def encode(self, is_text: bool, data: bytes | memoryview, last: bool) -> bytes:
        """Return a frame with a message, or a fragment of one. It must be sent: what follows may depend on it.

        Raises TypeError if the message is of another kind.
        """
        in_message = self._in_message
        if in_message and is_text != self._is_text:
            raise TypeError("the fragments of a message must be all str, or all bytes")
        first = CONTINUATION if in_message else TEXT if is_text else BINARY
        deflate = self._deflate
        if deflate is not None:
            if not in_message:
                self._sends_compressed = deflate.is_worth_it(len(data), last)
                first |= 0x40 * self._sends_compressed
            if self._sends_compressed:
                data = deflate.compress(data, last)
        self._in_message, self._is_text = not last, is_text
        return self._frame(first | 0x80 if last else first, data)

    def control(self, opcode: int, data: bytes) -> bytes:
        """Return a control frame."""
        return self._frame(opcode | 0x80, data)

    def close(self, close: Close) -> bytes:
        """Return a Close frame."""
        if close.code == NO_CODE:
            return self.control(CLOSE, b"")
        return self.control(CLOSE, close.code.to_bytes(2) + close.reason.encode())

    def _frame(self, first: int, data: bytes | memoryview) -> bytes:
        masked = 0x80 if self._is_client else 0
        length = len(data)
        if length <= CONTROL_MAX:
            head = bytes((first, length | masked))
        elif length < 1 << 16:
            head = bytes((first, 126 | masked)) + length.to_bytes(2)
        else:
            head = bytes((first, 127 | masked)) + length.to_bytes(8)
        if not masked:
            return b"".join((head, data))
        mask = unpredictable(4)
        return b"".join((head, mask, self._mask(bytes(data), mask)))


def _close_of(data: bytes) -> Close:
    if not data:
        return Close(NO_CODE, "")
    code = int.from_bytes(data[:2])
    if len(data) < 2 or not may_be_received(code):
        raise Violation(PROTOCOL, "a Close frame has no code, or one that is reserved")
    try:
        return Close(code, data[2:].decode())
    except UnicodeDecodeError:
        raise Violation(NOT_UTF8, "the reason of a Close frame is not UTF-8") from None
