"""One request on its way through a proxy: to an upstream, and its response back.

Both directions are passed on as they come, and no more is received than the other side takes. So a body of any size
needs little memory. Whatever ends one side early ends the other: each learns that the message is not complete.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from ...streams.stream import Stream
from ...threads.loop import now
from ..client.failures import words
from ..client.request import IDEMPOTENT
from ..messages.errors import ProtocolError
from ..messages.framing import CHUNKED
from ..messages.heads import ResponseHead
from ..messages.incoming import BLOCK, End, Upgraded
from ..messages.outgoing import Piece, Written
from ..serving.exchange import Exchange
from .hops import interim_fields, origin_form, response_fields, switched_fields, trailer_fields
from .relay import Relay
from .sending import Sending
from .upstream import Link, Upstream

_INTERIM_MAX = 64


class Failure(Exception):
    """An upstream has not answered. `status`: what the client gets for it. `may_repeat`: whether another may try.

    `is_begun`: whether the client has got the beginning of a response.
    """

    def __init__(self, reason: str, status: int = 502, *, may_repeat: bool = False, is_begun: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.may_repeat = may_repeat
        self.is_begun = is_begun


class ClientLeft(Exception):
    """The client has ended its connection while its request was on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How requests are passed on: as the arguments of http.proxy() say."""

    pseudonym: bytes
    upgrades: frozenset[bytes]
    connect_s: float | None
    read_s: float
    send_s: float | None
    continue_s: float
    idle: int
    idle_s: float
    upgraded_idle_s: float | None


class Transit:
    """A request. `body`: all of it, None if it is passed on as it comes. `fields`: the lines of its head."""

    __slots__ = (
        "_answered",
        "_body",
        "_exchange",
        "_fields",
        "_head",
        "_is_safe",
        "_manner",
        "_sending",
        "_sent",
        "_upgrade",
    )

    def __init__(self, manner: Manner, exchange: Exchange, fields: bytes, body: bytes | None) -> None:
        self._manner = manner
        self._exchange = exchange
        self._head = head = exchange.head
        self._fields = fields
        self._body = body
        self._is_safe = body is not None and head.method in IDEMPOTENT  # to be sent twice
        self._upgrade: bytes | None = None
        if head.upgrade is not None and not head.body and head.upgrade.lower() in manner.upgrades:
            self._upgrade = head.upgrade
        self._sending: Sending | None = None
        self._answered = False  # whether anything of a response has come
        self._sent = False  # whether anything of the request may have arrived

    def run(self, upstream: Upstream) -> Generator[Any, None, None]:
        """Pass the request to an upstream, and its response to the client.

        Raises Failure, ClientLeft; ProtocolError if the client's body is wrong; the errors of the client's connection.
        """
        head, body, exchange = self._head, self._body, self._exchange
        while True:
            link = upstream.take(self._manner.idle_s) if self._is_safe else None
            if link is None:
                link = yield from self._link_to(upstream)
            link.watch.client = exchange.below.fileno()
            try:
                if body is None or not (head.usual and head.origin) or self._upgrade is not None:
                    yield from self._answer(link, (yield from self._ask(link)))
                    return
                # What most requests need is in this frame: request and response, each in one piece.
                side, watch = link.side, link.watch
                try:
                    yield from link.sock.sendall(side.whole(head, self._fields, body))
                    self._sent = True
                except OSError as error:
                    self._note_unsent(link, error)
                watch.limit(exchange.now() + self._manner.read_s)
                try:
                    data = yield from link.sock.recv(BLOCK)
                except OSError as error:
                    raise self._explained(link, error) from error
                watch.until = None
                if data:
                    self._answered = True
                whole = side.take(data)
                if whole is None:
                    yield from self._answer(link, (yield from self._response(link)))
                    return
                server = exchange.side
                if self._is_stopping():
                    server.closing = True
                assert side.response is not None
                passed = response_fields(side.response, self._manner.pseudonym)
                exchange.unusual = True
                exchange.sent = len(whole)
                reply = server.whole(side.response.status, passed.written, whole)
                if reply is None:  # the client's connection ends
                    reply = server.head(side.response.status, passed.written, passed.length) + whole
                    server.data(whole)
                    server.end()
                yield from exchange.transmit(reply)
                return
            except Failure as failure:
                if failure.may_repeat and link.used:
                    upstream.close_idle()  # it was closed while it was idle; so were the others, perhaps
                    continue
                raise
            finally:
                if link.side.received_all and self._has_ended():
                    upstream.keep(link, 0 if self._is_stopping() else self._manner.idle)
                else:
                    link.close()
                    if self._sending is not None:
                        self._sending.cancel()

    def _answer(self, link: Link, response: ResponseHead) -> Generator[Any, None, None]:
        """Pass on the rest of a response."""
        if response.status == 101:
            yield from self._switch(link, response)
        else:
            yield from self._pass_back(link, response)
            if self._sending is not None:
                yield from self._sending.stop()

    def _link_to(self, upstream: Upstream) -> Generator[Any, None, Link]:
        """Return a connection that seems usable. Raises Failure."""
        while (link := upstream.take(self._manner.idle_s)) is not None:
            if self._is_safe or (yield from link.is_quiet()):
                return link
            link.close()
        try:
            return (yield from upstream.dial(self._manner.connect_s))
        except TimeoutError:
            raise Failure("no connection could be made in time", 504, may_repeat=True) from None
        except (OSError, ValueError) as error:
            raise Failure(f"no connection could be made: {words(error)}", may_repeat=True) from error

    def _is_repeatable(self) -> bool:
        """Whether the request can be sent again after a failure without the danger of doing something twice."""
        return not self._answered and (self._is_safe or (self._body is not None and not self._sent))

    def _has_ended(self) -> bool:
        return self._sending is None or self._sending.has_ended

    def _is_stopping(self) -> bool:
        stopping = self._exchange.stopping
        return stopping is not None and stopping.is_set()

    # The request.

    def _ask(self, link: Link) -> Generator[Any, None, ResponseHead]:
        """Send the request, at least its head, and return the head of the response."""
        head, body, side = self._head, self._body, link.side
        named = (b"upgrade",) if self._upgrade is not None else ()
        fields = self._fields if self._upgrade is None else self._fields + b"upgrade: %b\r\n" % self._upgrade
        length = len(body) if body is not None else None if head.body == CHUNKED else head.body
        data = side.head(
            head.method, origin_form(head), Written.checked(fields, has_host=True, connection=named), length
        )
        if body is None:
            self._sent = True
            self._sending = Sending(self._exchange, link, self._manner.send_s, self._manner.read_s)
            self._sending.begin(data, self._manner.continue_s)
        else:
            try:
                yield from link.sock.sendall(
                    b"".join((data, *side.data(body), side.end())) if body else data + side.end()
                )
                self._sent = True
            except OSError as error:
                self._note_unsent(link, error)
        return (yield from self._response(link))

    def _note_unsent(self, link: Link, error: OSError) -> None:
        """Note that the request was not sent as a whole. A response may be here: then the error is not raised."""
        self._sent = self._sent or getattr(error, "bytes_sent", 1) > 0
        if not isinstance(error, ConnectionError):
            raise self._explained(link, error) from error

    # The response.

    def _response(self, link: Link) -> Generator[Any, None, ResponseHead]:
        side, interim = link.side, 0
        while True:
            try:
                event = side.next()
            except ProtocolError as error:
                raise Failure(f"its response is malformed: {error.reason}", may_repeat=self._is_repeatable()) from None
            if event is None:
                yield from self._receive(link)
                continue
            assert isinstance(event, ResponseHead)
            if event.status >= 200 or event.status == 101:
                if self._sending is not None:
                    self._sending.answered()
                return event
            interim += 1
            if interim > _INTERIM_MAX:
                raise Failure("there are too many interim responses")
            if event.status != 100:
                yield from self._exchange.informational(event.status, interim_fields(event))
            elif self._sending is not None:
                yield from self._sending.go_ahead()

    def _receive(self, link: Link) -> Generator[Any, None, None]:
        watch = link.watch
        if self._sending is None or self._sending.has_ended:
            watch.limit(now() + self._manner.read_s)
        try:
            data = yield from link.sock.recv(BLOCK)
        except OSError as error:
            raise self._explained(link, error) from error
        watch.until = None
        if data:
            self._answered = True
        link.side.receive(data)

    def _explained(self, link: Link, error: OSError) -> Exception:
        """Return what an error of an upstream's connection means."""
        if self._sending is not None and self._sending.error is not None:
            return self._sending.error
        if link.watch.client_left:
            return ClientLeft()
        if link.watch.has_expired:
            return Failure("it does not answer in time", 504)
        if self._sending is not None and self._sending.was_slow:
            return Failure("it does not take the request in time", 504)
        return Failure(f"the connection broke: {words(error)}", may_repeat=self._is_repeatable())

    def _pass_back(self, link: Link, response: ResponseHead) -> Generator[Any, None, None]:
        """Send the response to the client, as it comes. Raises Failure with `is_begun`."""
        exchange = self._exchange
        server, status, side = exchange.side, response.status, link.side
        passed = response_fields(response, self._manner.pseudonym)
        length = response.body if response.body > 0 else None
        if self._head.method == "HEAD" or status == 304 or (not response.body and status != 204):
            length = passed.length
        if not server.received_all or self._is_stopping():
            server.closing = True  # the answer has come before the end of the request
        exchange.unusual = True
        exchange.sent = 0
        pieces: list[Piece] = [server.head(status, passed.written, length)]
        try:
            while True:
                event = side.next(BLOCK)
                if event.__class__ is bytes:
                    exchange.sent += len(event)
                    pieces += server.data(event)
                elif event is None:
                    if pieces:
                        yield from exchange.transmit(pieces[0] if len(pieces) == 1 else b"".join(pieces))
                        pieces = []
                    yield from self._receive(link)
                else:
                    assert isinstance(event, End)
                    break
        except ProtocolError as error:
            if pieces:
                yield from exchange.transmit(b"".join(pieces))
            raise Failure(f"its response is malformed: {error.reason}", is_begun=True) from None
        except Failure as failure:
            failure.is_begun = True
            raise
        trailers = trailer_fields(event.trailers.raw) if server.framing == CHUNKED else ()
        pieces.append(server.end(trailers))
        if last := b"".join(pieces):
            yield from exchange.transmit(last)

    def _switch(self, link: Link, response: ResponseHead) -> Generator[Any, None, None]:
        """Let the client and the upstream speak another protocol with each other."""
        protocol, fields = switched_fields(response, self._manner.pseudonym)
        event = link.side.next()
        assert isinstance(event, Upgraded)
        try:
            client = yield from self._exchange.upgrade(protocol, fields)
        except (RuntimeError, ValueError):
            raise Failure("it changes to a protocol that the client has not offered") from None
        yield from Relay(client, Stream(link.sock, received=event.data), self._manner.upgraded_idle_s).run()
