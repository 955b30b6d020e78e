"""One request and its response on one connection. The request is sent while the response may already come.

A small request is sent by the thread that waits for the response. Any other is sent by a thread of its own: a server
may answer before it has taken all of the request, and may take no more until the answer is read.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pollers
from pollers import Closed

from ...streams.stream import Stream
from ...threads.coroutines import awaiting
from ...threads.events import Event
from ...threads.loop import newthread, now
from ...threads.scope import move_on_after
from ...threads.sleeping import sleep
from ...threads.thread import Thread
from ..messages.errors import ProtocolError
from ..messages.fields import Fields, elements
from ..messages.heads import ResponseHead
from ..messages.incoming import BLOCK, End, Upgraded
from ..messages.outgoing import Piece
from .body import Body
from .connection import Connection, Timings

_TOGETHER_MAX = 1 << 16  # a body up to this size is sent together with its head
_PIECE = 1 << 18  # of a large body: the timeout is for one of them
_INTERIM_MAX = 64


class Exchange(pollers.Unique):
    """A request that is sent on `conn`, and the response to it.

    `answered`: whether anything of the response has come. `sent_bytes`: how much of the request the kernel has taken,
    or TLS has made records of.
    """

    __slots__ = (
        "_body",
        "_expected_s",
        "_go_ahead",
        "_is_refused",
        "_writer",
        "answered",
        "body_error",
        "conn",
        "interim",
        "sent_bytes",
        "started_at",
        "timings",
        "trailers",
        "upgraded",
        "was_slow",
    )

    def __init__(self, conn: Connection, body: Body, timings: Timings, started_at: float, expected_s: float) -> None:
        self.conn = conn
        self.answered = False
        self.sent_bytes = 0
        self.interim: list[ResponseHead] = []
        self.trailers = Fields()
        self.upgraded = False  # whether upgrade() has given the connection away
        self.was_slow = False  # whether a piece of the request took too long
        self.timings = timings
        self.started_at = started_at
        self._body = body
        self.body_error: BaseException | None = None  # what the program's code has raised that makes the body
        self._expected_s = expected_s
        self._go_ahead: Event | None = None  # set when the body may be sent, or need not be any more
        self._is_refused = False
        self._writer: Thread[None] | None = None

    # The request.

    def begin(self, method: str, target: str, fields: Fields) -> Generator[Any, None, ResponseHead]:
        """Send the request, at least its head, and return the head of the response.

        Raises ProtocolError, OSError, and what the program's own code raises that makes the body.
        """
        body = self._body
        head = self.conn.side.head(method, target, fields, body.length)
        if b"100-continue" in elements((fields.get("expect") or "").encode("latin-1")) and body.length != 0:
            self._go_ahead = Event()
        if body.data is not None and len(body.data) <= _TOGETHER_MAX and self._go_ahead is None:
            whole = b"".join([head, *self.conn.side.data(body.data), self.conn.side.end()])
            try:
                yield from self._send(whole)
                self._note_sent()
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may have answered all the same
        else:
            self._writer = newthread(self._write, head, name=f"request body for {self.conn.key}")
        return (yield from self._next_head())

    def _send(self, data: bytes | bytearray | memoryview) -> Generator[Any, None, None]:
        try:
            yield from awaiting(self.conn.sock.sendall(data))
        except BaseException as error:
            self.sent_bytes += getattr(error, "bytes_sent", 0)
            self.was_slow = isinstance(error, TimeoutError)
            raise
        self.sent_bytes += len(data)

    def _note_sent(self) -> None:
        self.timings.sent = now() - self.started_at

    def _write(self, head: bytes) -> Generator[Any, None, None]:
        """Send all of the request, in a thread of its own."""
        try:
            if self._body.data is None or self._go_ahead is not None:
                yield from self._send(head)  # its first piece may come much later
                head = b""
            if self._go_ahead is not None:
                with move_on_after(self._expected_s):
                    yield from self._go_ahead.wait()
                if self._is_refused:
                    return
            yield from self._write_body(head)
            self._note_sent()
        except _BodyFailed as failed:
            self.body_error = failed.__cause__
            self.conn.close()  # the reading thread notices it
        except TimeoutError:
            self.conn.close()
        except OSError:
            pass  # the reading thread finds the answer, or the reason

    def _write_body(self, head: bytes) -> Generator[Any, None, None]:
        side = self.conn.side
        pieces = self._body.begin()
        waiting: list[Piece] = [head]
        while piece := (yield from self._of_program(pieces.next())):
            for start in range(0, len(piece), _PIECE):
                part = piece if len(piece) <= _PIECE else memoryview(piece)[start : start + _PIECE]
                try:
                    waiting += side.data(part)
                except ValueError as error:
                    raise _BodyFailed from error
                yield from self._send(b"".join(waiting))
                waiting = []
        try:
            waiting.append(side.end())
        except ValueError as error:
            raise _BodyFailed from error
        if last := b"".join(waiting):
            yield from self._send(last)

    @staticmethod
    def _of_program(steps: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
        try:
            return (yield from steps)
        except Exception as error:
            raise _BodyFailed from error

    # The response.

    def _receive(self) -> Generator[Any, None, None]:
        try:
            data = yield from awaiting(self.conn.sock.recv(BLOCK))
        except Closed:
            if self.body_error is not None:
                raise self.body_error from None
            if self.was_slow:
                raise TimeoutError("the server does not take the request") from None
            raise
        if data:
            self.answered = True
        self.conn.side.receive(data)

    def _next_head(self) -> Generator[Any, None, ResponseHead]:
        side = self.conn.side
        while True:
            event = side.next()
            if event is None:
                yield from self._receive()
                continue
            if not isinstance(event, ResponseHead):
                raise ProtocolError("the response has no head")
            if event.status >= 200 or event.status == 101:
                self._is_refused = self._go_ahead is not None and not self._go_ahead.is_set()
                self._release_body()
                self.timings.begun = now() - self.started_at
                return event
            if len(self.interim) == _INTERIM_MAX:
                raise ProtocolError("there are too many interim responses")
            self.interim.append(event)
            if event.status == 100:
                self._release_body()

    def _release_body(self) -> None:
        if self._go_ahead is not None:
            self._go_ahead.set()

    def next(self, n: int) -> Generator[Any, None, bytes]:
        """Return up to `n` bytes of the response's body, b"" at its end. A cancellation or timeout takes nothing."""
        while True:
            event = self.at_hand(n)
            if event is not None:
                break
            yield from self._receive()
        if not event and self._writer is not None and not self._writer.done:
            yield from sleep(0)  # it may have sent all, and not know it yet
        return event

    def at_hand(self, n: int) -> bytes | None:
        """Do what next() does without a wait. Return None if there is nothing at hand."""
        event = self.conn.side.next(n)
        if isinstance(event, bytes):
            return event
        if isinstance(event, End):
            self.trailers = event.trailers
            self.timings.ended = now() - self.started_at
            return b""
        if isinstance(event, Upgraded):
            raise ProtocolError("the connection speaks another protocol now")
        return b"" if self.conn.side.received_all else None

    def upgrade(self) -> Stream:
        """Return the connection, which speaks another protocol now. It does not belong to the exchange any more."""
        conn = self.conn
        event = conn.side.next()
        if not isinstance(event, Upgraded):
            raise RuntimeError("the server has not changed the protocol")
        conn.settimeout(None, None)
        self.upgraded = True
        return Stream(conn.sock, received=event.data)

    def close(self) -> None:
        """End the exchange before its end, without a wait. The connection cannot be used again."""
        self.conn.close()
        if self._writer is not None and not self._writer.done:
            self._writer.cancel()


class _BodyFailed(Exception):
    """The program's code that makes the body of a request has raised its `__cause__`."""
