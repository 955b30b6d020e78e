"""The incoming direction of a connection: bytes to heads and bodies, for either side.

It takes no more from its buffer than the message that is asked for: what is behind it, such as the next request of a
pipeline, stays there.
"""

from __future__ import annotations

from collections.abc import Callable

from ...streams.buffer import Buffer, LimitExceeded
from .bounds import Limits
from .chunks import Chunks
from .errors import ProtocolError
from .fields import Fields
from .framing import CHUNKED, UNTIL_CLOSE
from .syntax import lonely

# Empty lines before a head are skipped, as RFC 9112, 2.2 says, but not for ever.
_BLANK_MAX = 16

BLOCK = 1 << 16


class End:
    """The end of a body. Comes as an event."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: Fields | None = None) -> None:
        self.trailers = Fields() if trailers is None else trailers

    def __repr__(self) -> str:
        return f"End({self.trailers!r})"


class Upgraded:
    """The connection now speaks another protocol. Comes as an event. `data`: what has come of it already."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Upgraded({self.data!r})"


class Incoming:
    """Received bytes, and where in a message they are."""

    __slots__ = (
        "_blank",
        "_buffer",
        "_chunks",
        "_edge",
        "_line_seen",
        "_news",
        "body_max",
        "empty",
        "ended",
        "left",
        "limits",
        "size",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ended = False  # whether the peer has ended its half
        self.empty = True  # whether all that was received has been taken
        self.body_max = limits.body_bytes  # of the present message
        self.size = 0  # how many bytes of the present body were taken
        self._buffer = Buffer()
        self.left = 0  # of the present body, or CHUNKED or UNTIL_CLOSE
        self._chunks: Chunks | None = None
        self._blank = 0  # empty lines before the head
        self._news = self._edge = b""  # the latest piece, and the byte before it
        self._line_seen = False  # whether the first line of an incomplete head was checked

    def receive(self, data: bytes) -> None:
        """Add what was received; b"" is the end of what the peer sends."""
        if data:
            self._news = data
            self._buffer.add(data)
            self.empty = False
        else:
            self.ended = True

    def is_head(self, data: bytes) -> bool:
        """Whether `data`, if nothing else was received, is one whole head and nothing behind it. Most are."""
        at = data.find(b"\r\n\r\n")
        return at == len(data) - 4 and 0 < at <= self.limits.head_bytes and data[0] != 13

    def head(self, check_line: Callable[[bytes], object]) -> bytes | None:
        """Return a complete head with its empty line, None if more must come or nothing will come.

        `check_line` refuses a first line before the rest has come. Raises ProtocolError.
        """
        buffer = self._buffer
        while True:
            try:
                at = buffer.find(b"\r\n\r\n", self.limits.head_bytes, "the head")
            except LimitExceeded:
                raise self._too_long() from None
            if at < 0:
                # Empty lines begin no head: some clients send one behind a body, and then nothing.
                while buffer.ahead(True, 2) == b"\r\n":
                    buffer.take(2)
                    self._count_blanks(2)
                    self._edge = b""
                self.empty = not len(buffer)
                self._check_begun(check_line)
                return None
            head = buffer.take(at + 4)
            self.empty = not len(buffer)
            if head[0] == 13:
                self._count_blanks(len(head) - len(head := self._without_blanks(head)))
                if not head:
                    continue
                if not head.endswith(b"\r\n\r\n"):  # the only line end belonged to the blanks
                    raise ProtocolError("the head is malformed")
            self._blank = 0
            self._line_seen = False
            self._edge = b""
            return head

    def _count_blanks(self, n: int) -> None:
        self._blank += n
        if self._blank > _BLANK_MAX:
            raise ProtocolError("too many empty lines come before a request")

    @staticmethod
    def _without_blanks(head: bytes) -> bytes:
        at = 0
        while head.startswith(b"\r\n", at):
            at += 2
        return head[at:]

    def _check_begun(self, check_line: Callable[[bytes], object]) -> None:
        """Refuse what can become no head, without waiting for its end."""
        news, edge = self._news, self._edge
        size = len(self._buffer)
        if not size:
            return
        if size <= len(news):  # the latest piece began with the end of the message before
            news, edge = news[-size:], b""
        self._news, self._edge = b"", (news or edge)[-1:]
        if lonely(edge + news):
            raise ProtocolError("the head has a control character, or a line that does not end with CR LF")
        if not self._line_seen:
            line, end, _ = (self._buffer.ahead(True, self.limits.head_bytes) or b"").partition(b"\r\n")
            if end:
                check_line(line)
                self._line_seen = True
        if self.ended:
            raise ProtocolError("the connection ended within a head")

    def _too_long(self) -> ProtocolError:
        if b"\r\n" not in (self._buffer.ahead(True, self.limits.target_bytes) or b""):
            return ProtocolError("the request target is too long", 414)
        return ProtocolError("the head is too long", 431)

    def begin_body(self, framing: int) -> None:
        """Begin to take a body: its length, CHUNKED or UNTIL_CLOSE."""
        self.left = framing
        self._chunks = Chunks(self.limits) if framing == CHUNKED else None
        self.body_max = self.limits.body_bytes
        self.size = 0

    def body(self, n: int = BLOCK) -> bytes | End | None:
        """Return up to `n` bytes of the body, its End, or None if more must come.

        Raises ProtocolError if the body is malformed, is larger than `body_max` or ends early.
        """
        left, body_max = self.left, self.body_max
        if self._chunks is not None:
            got = self._chunks.next(self._buffer, n, body_max)
            if isinstance(got, Fields):
                self.empty = not len(self._buffer)
                return End(got)
        elif left == 0:
            return End()
        else:
            if body_max is not None and self.size + max(left, 0) > body_max:
                raise ProtocolError("the body is too large", 413)
            got = self._buffer.some(False, min(n, left) if left > 0 else n)
            if got is None and left == UNTIL_CLOSE and self.ended:
                return End()
        self.empty = not len(self._buffer)
        if got is None:
            if self.ended:
                raise ProtocolError("the connection ended within a body")
            return None
        self.size += len(got)
        if left > 0:
            self.left = left - len(got)
        return got

    def rest(self) -> bytes:
        """Take all that was received: another protocol begins with it."""
        self.empty = True
        return self._buffer.take(len(self._buffer))
