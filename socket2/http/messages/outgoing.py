"""The outgoing direction of a connection, for either side: heads that are correct, and bodies of the promised length.

Whoever answers cannot set Transfer-Encoding: it follows from the version and from whether the length is known.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from .chunks import chunk_of, last_chunk
from .compiled import compiled
from .fields import Given, elements, pairs_of
from .framing import CHUNKED, UNTIL_CLOSE

Piece: TypeAlias = bytes | bytearray | memoryview

# Fields that this module writes itself, or that change how it frames a message.
_SPECIAL = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date", b"host"))

_NO_TRAILERS = frozenset((b"content-length", b"transfer-encoding", b"host"))


def json_octets(value: object) -> bytes:
    """Return a value as JSON, in UTF-8. Raises TypeError, ValueError for what JSON cannot say, such as NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def checked_length(length: int) -> int:
    """Raises ValueError if it cannot be the length of a body. Below 0 it would mean another framing."""
    if not isinstance(length, int) or length < 0:
        raise ValueError(f"the length of a body must be a whole number, at least 0, not {length!r}")
    return length


class Written:
    """Fields that a program gives for a message, checked, and what they say about the message itself."""

    __slots__ = ("block", "closes", "connection", "has_date", "has_host", "length", "usual")

    def __init__(self, given: Given) -> None:
        """Raises ValueError or TypeError if they are no fields, or frame the message in a way that they cannot."""
        self.length: int | None = None
        self.connection: list[bytes] = []
        self.closes = self.has_date = self.has_host = False
        self.usual = True  # whether none of them but Content-Length changes how a whole answer is framed
        lines = []
        for name, value in pairs_of(given):
            if name in _SPECIAL and not self._keep(name, value):
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        self.block = b"".join(lines)

    @classmethod
    def checked(
        cls,
        block: bytes,
        *,
        has_date: bool = False,
        has_host: bool = False,
        connection: tuple[bytes, ...] = (),
        length: int | None = None,
    ) -> Written:
        """Make one of lines that were received and checked, without any special field but Date and Host."""
        written = cls(())
        written.block = block
        written.has_date = has_date
        written.has_host = has_host
        written.connection = list(connection)
        written.length = length
        written.usual = not connection
        return written

    def _keep(self, name: bytes, value: bytes) -> bool:
        """Note a special field. Return whether it is written like the others."""
        if name == b"transfer-encoding":
            raise ValueError("Transfer-Encoding cannot be set: it follows from the length of the body")
        if name == b"content-length":
            if not value.isdigit() or self.length is not None:
                raise ValueError(f"Content-Length must be one number of bytes, not {value!r}")
            self.length = int(value)
            return False
        if name == b"connection":
            named = elements(value)
            self.usual = False
            self.closes = self.closes or b"close" in named
            self.connection += [element for element in named if element not in (b"close", b"keep-alive")]
            return False
        self.has_date = self.has_date or name == b"date"
        self.has_host = self.has_host or name == b"host"
        return True

    def connection_line(self, *more: bytes) -> bytes:
        """Return the Connection field, b"" if it would be empty."""
        named = [*more, *self.connection]
        return b"connection: %b\r\n" % b", ".join(named) if named else b""


def written(given: Given | Written) -> Written:
    """Return checked fields. Raises as Written() does."""
    if isinstance(given, Written):
        return given
    made: Written | None = compiled.written(given) if compiled is not None else None
    return Written(given) if made is None else made


class Outgoing:
    """A body that is being sent: of a known length, in chunks, or until the connection ends."""

    __slots__ = ("_drops", "ended", "framing", "left")

    def __init__(self, framing: int, drops: bool = False) -> None:
        """`drops`: the body is not sent, as for HEAD and with status 304."""
        self.framing = framing
        self.left = max(framing, 0)
        self._drops = drops
        self.ended = False

    def data(self, data: Piece) -> list[Piece]:
        """Return what to send for a piece of the body. Raises ValueError if it is more than the promised length."""
        if self.ended:
            raise RuntimeError("the message has ended")
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if not size or self._drops:
            return []
        if self.framing == CHUNKED:
            return chunk_of(data if not isinstance(data, memoryview) else data.cast("B"))
        if self.framing != UNTIL_CLOSE:
            if size > self.left:
                raise ValueError(f"the body has {size - self.left} bytes more than its Content-Length")
            self.left -= size
        return [data]

    def passes(self, size: int) -> bool:
        """Whether a piece of this size is sent, by other means than data(). Raises as data() does."""
        if self.ended:
            raise RuntimeError("the message has ended")
        if self._drops:
            return False
        if self.framing >= 0 and size > self.left:
            raise ValueError(f"the body has {size - self.left} bytes more than its Content-Length")
        return True

    def passed(self, size: int) -> None:
        """Note how much of such a piece was sent."""
        if self.framing >= 0:
            self.left -= size

    def end(self, trailers: Given = ()) -> bytes:
        """Return what to send behind the body. Raises ValueError if it is shorter than the promised length."""
        if self.ended:
            raise RuntimeError("the message has ended")
        pairs = pairs_of(trailers) if trailers else []
        if not self._drops:
            if self.left:
                raise ValueError(f"the body has {self.left} bytes less than its Content-Length")
            if pairs and self.framing != CHUNKED:
                raise ValueError("only a chunked body has trailers, and this one is not")
        for name, _ in pairs:
            if name in _NO_TRAILERS:
                raise ValueError(f"{name.decode('ascii')} cannot be a trailer: it says how to read the message")
        self.ended = True
        return last_chunk(pairs) if self.framing == CHUNKED and not self._drops else b""


SENT = Outgoing(0)
"""A body that was sent as a whole, with its head."""
SENT.ended = True
