"""receive() and send() of one request of an ASGI application.

If the client has gone, or has sent what it must not, the application gets http.disconnect, and send() raises OSError.
What was wrong is raised when the application has ended: it may be the answer.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Generator, MutableMapping
from typing import Any, TypeAlias

from pollers import operation

from ...files.disk import open_file
from ...threads.events import Event
from ...threads.scope import scope
from ..messages.errors import ProtocolError
from ..messages.framing import CHUNKED
from ..messages.incoming import BLOCK
from ..messages.outgoing import Piece, Written, written
from ..serving.exchange import Exchange
from .isolated import NOW
from .sending import Whole, begin

Message: TypeAlias = MutableMapping[str, Any]

# How far the answer is: the head is held until the first piece of the body.
NOTHING, HELD, BEGUN, TRAILERS, DONE = range(5)


class Cycle:
    """One request and its answer. `error`: what is wrong with the client or the connection. `state`: of the answer."""

    __slots__ = (
        "_asked",
        "_exchange",
        "_fields",
        "_free",
        "_has_trailers",
        "_status",
        "_trailers",
        "_waiting",
        "error",
        "state",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._asked = False  # whether the end of the body was delivered
        self._waiting: scope | None = None  # that of a receive which waits for the end of the client
        self._free: Event | None = None  # set when it does not wait any more
        self._has_trailers = False
        self.state = NOTHING
        self.error: Exception | None = None

    def gone(self) -> OSError:
        """Return what send() raises if the client cannot be answered any more."""
        return ConnectionAbortedError(f"the client has gone{f': {self.error}' if self.error is not None else ''}")

    def works(self) -> bool:
        """Whether neither the client nor the connection has failed."""
        return self.error is None and not self._exchange.broken

    def check(self) -> None:
        """Raise what the client or the connection has failed with, or RuntimeError if the answer is not complete."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame: avoid a cycle
        if self._exchange.broken:
            raise self.gone()
        if self.state != DONE:
            what = "an answer" if self.state == NOTHING else "the end of its answer"
            raise RuntimeError(f"the application has ended without {what}")

    # What an application receives.

    def receive(self) -> Awaitable[Message]:
        if self._asked or self.error is not None:
            return self._disconnect()
        return self._request()

    @operation
    def _request(self) -> Generator[Any, None, Message]:
        exchange, data, more = self._exchange, b"", False
        side = exchange.side
        if not side.received_all:
            try:
                data = yield from exchange.receive(BLOCK)
                if side.incoming.left == 0:
                    yield from exchange.receive(1)  # it is at its end, which has to be taken, too
            except (ProtocolError, OSError) as error:
                self.error = error
                return {"type": "http.disconnect"}
            more = not side.received_all
        self._asked = not more
        return {"type": "http.request", "body": data, "more_body": more}

    @operation
    def _disconnect(self) -> Generator[Any, None, Message]:
        if self.state != DONE and self.error is None:
            with scope() as waiting:
                self._waiting = waiting
                try:
                    yield from self._exchange.until_gone()
                except OSError as error:
                    self.error = error
                finally:
                    self._waiting = None
                    if self._free is not None:
                        self._free.set()
        return {"type": "http.disconnect"}

    # What an application sends.

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if not self.works():
            raise self.gone()
        if kind == "http.response.body":
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = memoryview(body).cast("B")
            more = message.get("more_body", False)
            if self.state == HELD and not (more or self._has_trailers or self._waiting):
                self.state = DONE
                if self._exchange.head.usual and self._status != 304:
                    return self._exchange.respond(self._status, body, self._fields)
                return Whole(self._status, self._fields, body).send(self._exchange)
            return self._body(body, more)
        if self.state == DONE:
            return NOW
        if kind == "http.response.start":
            return self._start(message)
        if kind == "http.response.pathsend":
            return self._path(message["path"])
        if kind == "http.response.trailers":
            return self._trailer(message)
        if kind == "http.response.early_hint":
            links = [(b"link", link) for link in message.get("links", ())]
            return self._exchange.informational(103, links)
        raise ValueError(f"a request cannot be answered with the message {kind!r}")

    def _start(self, message: Message) -> Awaitable[None]:
        if self.state != NOTHING:
            raise RuntimeError("the application has sent http.response.start twice")
        headers = message.get("headers", ())
        try:
            self._fields = written(headers)
        except ValueError:  # Transfer-Encoding is the server's
            self._fields = Written([pair for pair in headers if bytes(pair[0]).lower() != b"transfer-encoding"])
        self._status: int = message["status"]
        if not 200 <= self._status <= 999:
            raise ValueError(f"a status is a number from 200 to 999, not {self._status!r}")
        self._has_trailers = bool(message.get("trailers", False))
        self._trailers: list[tuple[bytes, bytes]] = []
        self.state = HELD
        return NOW

    @operation
    def _body(self, body: Piece, more: bool) -> Generator[Any, None, None]:
        exchange = self._exchange
        if self.state == NOTHING:
            raise RuntimeError("the application has not sent http.response.start")
        if self.state in (TRAILERS, DONE):
            return
        if self.state == BEGUN:
            if body:
                yield from exchange.send(body)
        elif more or self._has_trailers:
            self.state = BEGUN
            yield from begin(exchange, self._status, self._fields, body)
        else:
            self.state = DONE
            yield from Whole(self._status, self._fields, body).send(exchange)
            self._wake()
            return
        if not more:
            self.state = TRAILERS
            if not self._has_trailers:
                yield from self._end()

    @operation
    def _trailer(self, message: Message) -> Generator[Any, None, None]:
        if self.state != TRAILERS:
            raise RuntimeError("http.response.trailers comes behind the body, and only if http.response.start says so")
        self._trailers += message.get("headers", ())
        if not message.get("more_trailers", False):
            yield from self._end()

    @operation
    def _end(self) -> Generator[Any, None, None]:
        chunked = self._exchange.side.framing == CHUNKED  # others have no place for trailers
        yield from self._exchange.end(self._trailers if chunked else ())
        self.state = DONE
        self._wake()

    @operation
    def _path(self, path: str) -> Generator[Any, None, None]:
        """Send a file. Its length is that of the answer, unless the application has given another."""
        if self.state != HELD:
            raise RuntimeError("http.response.pathsend comes directly behind http.response.start")
        exchange = self._exchange
        try:
            file = yield from open_file(path, "rb", buffering=0)
        except OSError as error:  # not the client's, as send() would say with it
            raise RuntimeError(f"the file cannot be sent: {error}") from error
        with file:
            length = self._fields.length
            if length is None:
                length = os.fstat(file.fileno()).st_size
            self.state = BEGUN
            yield from exchange.start(self._status, self._fields, length, False)
            yield from exchange.sendfile(file.wrapped, 0, length)
        self.state = TRAILERS
        if not self._has_trailers:
            yield from self._end()

    @property
    def waiting(self) -> bool:
        """Whether a receive waits for the end of the client, and so uses the connection."""
        return self._waiting is not None

    @operation
    def settle(self) -> Generator[Any, None, None]:
        """End a receive that waits for the end of the client, when its application has ended without it."""
        waiting = self._waiting
        if waiting is not None:
            self._free = Event()
            waiting.cancel()
            yield from self._free.wait()

    def _wake(self) -> None:
        """End a receive that waits for the end of the client."""
        if self._waiting is not None:
            self._waiting.cancel()
