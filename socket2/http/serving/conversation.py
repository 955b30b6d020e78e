"""A connection from its first request to its end.

The handler runs in the connection's thread, so a pipelined request waits in the buffer until the one before is
answered, and no more is received than handlers ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from types import GeneratorType
from typing import Any

from ...servers.connection import current_connection
from ...servers.current import current_server
from ...sockets.address import SocketAddress, format_address
from ...streams.stream import stream
from ...streams.transport import AnyByteStream
from ...threads.coroutines import awaiting, check_result, is_coroutine
from ...threads.journal import Journal
from ...threads.scope import move_on_after, scope
from ...threads.thread import currentthread
from ...tls.layer import TLS
from ..messages.bounds import Limits
from ..messages.errors import ProtocolError
from ..messages.heads import RequestHead
from ..messages.incoming import BLOCK
from .accesslog import AccessLog
from .exchange import Exchange, Flag
from .origin import Trust
from .request import PLAIN_TEXT, Request
from .silence import Silence
from .tally import Tally

log = Journal("socket2.http.server")

# How long the answer to a client that was too slow may take.
_LINGER_S = 2.0


class Conversation:
    """One connection, and the handler of its requests."""

    __slots__ = (
        "_begun",
        "_client",
        "_conn",
        "_exchange",
        "_handler",
        "_limits",
        "_lingers",
        "_notes",
        "_scheme",
        "_trust",
    )

    def __init__(
        self,
        conn: AnyByteStream,
        handler: Callable[[Request], Any],
        limits: Limits,
        notes: Sequence[AccessLog | Tally],
        trust: Trust | None,
    ) -> None:
        self._conn = conn
        self._handler = handler
        self._limits = limits
        self._notes = notes
        self._client: SocketAddress = getattr(conn, "remote_address", "")
        self._scheme = "https" if isinstance(conn, TLS) else "http"
        self._trust = trust if trust is not None and self._client in trust.proxies else None
        # When the present request had come, and from whom, until it is noted.
        self._begun: tuple[float, SocketAddress] | None = None
        self._lingers = False  # whether the client may be sending when the connection ends

    def run(self) -> Generator[Any, None, None]:
        """Be the thread of the connection."""
        limits = self._limits
        scheduler = currentthread().scheduler
        usual = [limit for limit in (limits.idle_s, limits.send_s) if limit is not None]
        with scope() as patience:
            silence = Silence(scheduler, patience, min(usual, default=None))
            self._exchange = Exchange(self._conn, limits, silence, scheduler.now, stopping())
            try:
                if limits.head_s is not None:
                    silence.limit(scheduler.now() + limits.head_s)
                try:
                    yield from self._converse()
                except ProtocolError as error:
                    if self._exchange.broken:
                        raise
                    yield from self._refuse(error)
                if self._lingers:
                    yield from stream(self._conn).finish(_LINGER_S)
            finally:
                silence.disarm()
                if self._exchange.websocket is not None:
                    self._exchange.websocket.abort()  # nothing is left of it, whatever has ended the conversation
                if self._begun is not None:
                    self._note(is_complete=False)
        if patience.cut_short:
            yield from self._give_up()

    def _converse(self) -> Generator[Any, None, None]:
        """Take one request after another, until the connection can or should not be used any more.

        What most requests need is here, in one frame. Raises ProtocolError.
        """
        exchange, handler, trust, is_noted = self._exchange, self._handler, self._trust, bool(self._notes)
        server, thread = current_connection.get(), currentthread()
        conn = exchange.conn
        side, silence, now, idle_s = exchange.side, exchange.silence, exchange.now, self._limits.idle_s
        first = True
        try:
            while True:
                head = made = None
                data = b""
                if side.incoming.empty:
                    if idle_s is not None and not first:
                        silence.until = now() + idle_s
                    if server is not None:
                        server.wait_for_request(thread)
                    try:
                        data = yield from conn.recv(BLOCK)
                    except BaseException as error:
                        if server is not None:
                            server.request_has_come(thread, error)
                        raise
                    if server is not None:
                        server.request_has_come(thread)
                    if not data:
                        return
                    head = side.take(data)
                if head is None:
                    head = yield from self._rest_of_head(first)
                    if head is None:
                        if side.incoming.ended:
                            return
                        continue
                silence.until = None
                first = False
                request = Request(head, exchange, self._client, self._scheme)
                if trust is not None:
                    request.believed = trust.names
                    request._client, request._scheme, request._host = trust.origin(
                        head.fields, self._client, self._scheme
                    )
                if is_noted:
                    self._begun = now(), request._client
                try:
                    made = handler(request)
                    if made.__class__ is GeneratorType:
                        yield from made
                    elif made is not None:
                        yield from self._awaiting(made)
                    if not side.answered:
                        yield from self._complete(request)
                except Exception as error:
                    if exchange.broken or isinstance(error, ProtocolError) or self._is_end(error):
                        raise  # the client or the connection has caused it
                    yield from self._fail(request, error)
                finally:
                    request._exchange = None
                if is_noted:
                    self._note(side.answered and not exchange.broken)
                if not side.go_on() and not (yield from self._settle()):
                    return
                if exchange.unusual:
                    exchange.begin()
                del request, made, data, head  # an idle connection keeps nothing of a request
        finally:
            del server, thread  # the traceback of an error has this frame: avoid a cycle

    def _is_end(self, error: Exception) -> bool:
        """Whether the error says that the connection, as a WebSocket, has ended."""
        return self._exchange.websocket is not None and self._exchange.websocket.is_end(error)

    def _awaiting(self, made: Any) -> Generator[Any, None, None]:
        if is_coroutine(made):
            yield from awaiting(made)
        else:
            check_result(self._handler, made)

    def _rest_of_head(self, first: bool) -> Generator[Any, None, RequestHead | None]:
        """Receive until a head is complete. Its time begins now, or has begun with the connection.

        Return None if only empty lines have come: no request has begun.
        """
        exchange, head_s = self._exchange, self._limits.head_s
        side, silence = exchange.side, exchange.silence
        if head_s is not None and not first:
            silence.limit(exchange.now() + head_s)
        while (head := side.next_head()) is None and not side.incoming.empty:
            side.receive((yield from exchange.conn.recv(BLOCK)))
        return head

    def _settle(self) -> Generator[Any, None, bool]:
        """Do what is left to do before another request can come. Return False if none can."""
        exchange = self._exchange
        side = exchange.side
        if exchange.websocket is not None:
            yield from exchange.websocket.end(None)
        if exchange.upgraded or exchange.broken:
            return False
        if not side.answered:
            exchange.cut()
            return False
        if not side.received_all and not (yield from exchange.skip_rest()):
            self._lingers = True
            return False
        if side.closing:
            self._lingers = side.lingers
        return side.go_on()

    def _complete(self, request: Request) -> Generator[Any, None, None]:
        """End an answer that the handler has not ended."""
        if self._exchange.side.status:
            yield from self._exchange.end()
            return
        log.error("%r was not answered by %r", request, self._handler, about=self._about(request))
        yield from self._exchange.respond(500, b"Internal Server Error\n", PLAIN_TEXT)

    def _fail(self, request: Request, error: Exception) -> Generator[Any, None, None]:
        """Log an error of the handler. The client learns nothing of it but 500, or that the answer is cut off."""
        exchange = self._exchange
        log.error("the handler of %r failed", request, error=error, about=self._about(request))
        if exchange.websocket is not None:
            yield from exchange.websocket.end(error)
        elif not exchange.side.status:
            yield from exchange.respond(500, b"Internal Server Error\n", PLAIN_TEXT)

    def _refuse(self, error: ProtocolError) -> Generator[Any, None, None]:
        """Answer what is no request, or a request that its handler could not read. Cut off an answer that has begun."""
        exchange = self._exchange
        log.info("%s: %s", self._peer(), error.reason, about={"peer": self._peer(), "status": error.status})
        head = exchange.side.request
        answer = exchange.side.refusal(error, f"{error.reason}\n".encode())
        if answer:
            yield from exchange.transmit(answer)
            exchange.sent = len(error.reason) + 1
            if self._notes:
                self._note(True, head)
        elif not exchange.side.answered:
            exchange.cut()
            return
        self._lingers = True

    def _give_up(self) -> Generator[Any, None, None]:
        """End a connection whose client was too slow. One that has begun a request learns why."""
        exchange = self._exchange
        if exchange.broken or exchange.side.request is not None:
            exchange.cut()
        elif not exchange.side.incoming.empty:
            with move_on_after(_LINGER_S):
                yield from self._refuse(ProtocolError("the request comes too slowly", 408))
                yield from stream(self._conn).finish(_LINGER_S)

    def _note(self, is_complete: bool, head: RequestHead | None = None) -> None:
        """Log and count the answer, or what there is of one. `head`: of the present request, if that was one."""
        exchange = self._exchange
        begun, client = self._begun or (exchange.now(), self._client)
        if self._begun is not None:
            head, self._begun = exchange.head, None
        for noted in self._notes:
            noted.note(head, client, exchange.side.status, exchange.sent, exchange.now() - begun, is_complete)

    def _about(self, request: Request) -> dict[str, object]:
        return {"peer": self._peer(), "method": request.method, "target": request.target}

    def _peer(self) -> str:
        return format_address(self._client) or "unix client"


def stopping() -> Flag | None:
    """Return what tells whether the server of this thread stops, None if there is no server."""
    try:
        return current_server().leaving
    except RuntimeError:
        return None
