"""The body of a request as a handler reads it: in pieces, in lines, as a whole.

If a read ends early, because of a limit, a timeout or a cancellation, what has come stays for the next one.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from pollers import Operation, operation

from ...streams.buffer import BLOCK, Buffer, LimitExceeded
from ...streams.pieces import Pieces
from ...streams.stream import LINE_MAX
from ...streams.transport import byte_count
from ..messages.errors import ProtocolError
from .exchange import Exchange


class Body:
    """What a handler can do with the body of its request."""

    __slots__ = ("_exchange", "_rest", "_whole")

    _exchange: Exchange | None  # None when the handler has ended
    _rest: Buffer | None  # what was received and not taken
    _whole: bool  # whether the end has come

    def _now(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("this request is over: its handler has ended")
        return self._exchange

    def recv(self, n: int = BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes of the body, as they come; b"" at its end, also if there is no body.

        A client that waits for 100 (Continue) gets it now. Raises ProtocolError if the body is malformed (status 400),
        larger than the limit (413) or too slow (408); if the handler does not catch it, it is the answer. Raises
        ConnectionResetError and other errors of the connection, after which nobody can be answered.
        """
        if byte_count(n) == 0:
            raise ValueError("a piece has at least 1 byte, not 0")
        exchange = self._now()
        return exchange.receive(n) if self._rest is None else self._recv(n)

    @operation
    def _recv(self, n: int) -> Generator[Any, None, bytes]:
        if self._rest:
            return self._rest.take(n)
        return (yield from self._now().receive(n))

    @operation
    def _more(self) -> Generator[Any, None, Buffer]:
        """Receive once into the buffer, or note the end."""
        if self._rest is None:
            self._rest = Buffer()
        data = yield from self._now().receive(BLOCK)
        self._rest.add(data)
        self._whole = not data
        return self._rest

    def read(self, max_bytes: int | None = None) -> Operation[bytes]:
        """Receive the whole body, or what is left of it.

        `max_bytes`: how much that may be; None means the server's limit. If it is more, ProtocolError with status 413
        is raised. Raises as recv() does.
        """
        return self._read(None if max_bytes is None else byte_count(max_bytes))

    @operation
    def _read(self, max_bytes: int | None) -> Generator[Any, None, bytes]:
        if self._rest is None:
            self._rest = Buffer()
        while True:
            if max_bytes is not None and len(self._rest) > max_bytes:
                raise ProtocolError("the body is too large", 413)
            if self._whole:
                return self._rest.take(len(self._rest))
            yield from self._more()

    def recvline(self, max_bytes: int = LINE_MAX, keep_end: bool = False) -> Operation[bytes | None]:
        """Receive a line of the body and return it without its end, LF or CR LF; None at the end of the body.

        The last line needs no end. `max_bytes`: how long a line may be without its end, else ProtocolError with status
        413. Raises as recv() does.
        """
        return self._recvline(byte_count(max_bytes), keep_end)

    @operation
    def _recvline(self, max_bytes: int, keep_end: bool) -> Generator[Any, None, bytes | None]:
        if self._rest is None:
            self._rest = Buffer()
        while True:
            try:
                line = self._rest.line(False, max_bytes, keep_end)
            except LimitExceeded:
                raise ProtocolError("a line of the body is too long", 413) from None
            if line is not None:
                return line
            if self._whole:
                return self._rest.take(len(self._rest)) or None
            yield from self._more()

    def lines(self, max_bytes: int = LINE_MAX, keep_end: bool = False) -> Pieces[bytes | None]:
        """Iterate over the lines of the body with `async for`: recvline() until it returns None."""
        return Pieces(lambda: self.recvline(max_bytes, keep_end), None)

    def json(self, max_bytes: int | None = None) -> Operation[Any]:
        """Receive the whole body and decode it as JSON. Raises ProtocolError with status 400 if it is none."""
        return self._json(max_bytes)

    @operation
    def _json(self, max_bytes: int | None) -> Generator[Any, None, Any]:
        body = yield from self.read(max_bytes)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ProtocolError("the body is not JSON") from None
