"""The requests and answers of one connection as operations: moves the bytes of a ServerSide.

There is one exchange at a time on a connection of HTTP/1.1. A request object keeps nothing of it but this interface, so
another version of HTTP may have several.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import IO, Any, Protocol

from pollers import Busy, Cancelled, bytes_sent, operation

from ...sockets.address import SocketAddress
from ...sockets.tcp import TCP
from ...streams.stream import Stream
from ...streams.transport import AnyByteStream
from ...threads.events import Event
from ...threads.scope import timeout
from ...tls.layer import TLS
from ..messages.bounds import Limits
from ..messages.compiled import learn, usually
from ..messages.errors import ProtocolError
from ..messages.fields import Fields, Given
from ..messages.framing import CHUNKED, UNTIL_CLOSE
from ..messages.heads import RequestHead
from ..messages.incoming import BLOCK, End, Upgraded
from ..messages.outgoing import Piece, Written
from ..messages.serverside import ServerSide
from ..websocket.socket import WebSocket
from .below import Awaited, socket_of
from .reading import PIECE, in_memory, read_some, size_behind
from .silence import Silence

# Smaller bodies and chunks are copied behind their heads, which costs less than a second call of the system.
_JOINED_MAX = 1 << 16


class Flag(Protocol):
    """Whether the server stops."""

    def is_set(self) -> bool: ...


learn(Silence, Event)


class Exchange:
    """The exchanges of one connection.

    `broken`: whether the connection failed, so that nobody can be answered. `upgraded`: whether it speaks another
    protocol now. `sent`: how many bytes of the answer's body were sent. `trailers`: of the request, None before its
    end.
    """

    __slots__ = (
        "_held",
        "_server",
        "_waited_s",
        "below",
        "broken",
        "conn",
        "limits",
        "now",
        "sent",
        "side",
        "silence",
        "stopping",
        "trailers",
        "unusual",
        "upgraded",
        "websocket",
    )

    def __init__(self, conn: AnyByteStream, limits: Limits, silence: Silence, now: Any, stopping: Flag | None) -> None:
        self.conn: Any = conn if isinstance(conn, (TCP, TLS, Stream)) else Awaited(conn)
        self.below = conn
        self.side = ServerSide(limits)
        self.limits = limits
        self.silence = silence
        self.now = now
        self.stopping = stopping
        self.broken = False
        self.upgraded = False
        self.websocket: WebSocket | None = None
        self._server: SocketAddress | None = None
        self.begin()

    def begin(self) -> None:
        """Begin another exchange, if the one before was more than a request without a body and a whole answer."""
        self.unusual = False
        self.sent = 0
        self.trailers: Fields | None = None
        self._held = b""  # a head that has not been sent yet
        self._waited_s = 0.0  # for the body

    @property
    def head(self) -> RequestHead:
        head = self.side.request
        assert head is not None
        return head

    @property
    def server(self) -> SocketAddress:
        """The address that the client has connected to. "" if the connection has none."""
        if self._server is None:
            sock = socket_of(self.below)
            self._server = sock.getsockname() if hasattr(sock, "getsockname") else ""
        return self._server

    # Receiving.

    @operation
    def receive(self, n: int) -> Generator[Any, None, bytes]:
        """Receive 1 to `n` bytes of the body, b"" at its end."""
        self.unusual = True
        side = self.side
        while True:
            event = side.next(n)
            if event is None:
                if side.received_all:
                    return b""
                if side.waits_for_continue:
                    yield from self.transmit(side.informational(100))
                yield from self._receive_more()
            elif isinstance(event, End):
                self.trailers = event.trailers
                return b""
            else:
                assert isinstance(event, bytes)
                return event

    def _receive_more(self) -> Generator[Any, None, None]:
        """Receive for the body. What the client may take is one time for all waits, and more for what has come."""
        limits = self.limits
        left_s = None
        if limits.body_s is not None:
            left_s = max(limits.body_s + self.side.incoming.size / limits.body_rate - self._waited_s, 0)
        begun = self.now()
        try:
            with timeout(left_s):
                data = yield from self.conn.recv(BLOCK)
            self.side.receive(data)
        except TimeoutError:
            self.side.closing = True
            raise ProtocolError("the body comes too slowly", 408) from None
        except (Cancelled, Busy):
            raise  # nothing was taken
        except BaseException:
            self.broken = self.side.closing = True
            raise
        finally:
            self._waited_s += self.now() - begun

    @operation
    def until_gone(self) -> Generator[Any, None, None]:
        """Wait until the client ends its half of the connection, when all of its request was received.

        What it sends before belongs to the next request, and stays in the buffer. Behind that an end cannot be seen.
        """
        side = self.side
        if side.incoming.empty and not side.incoming.ended:
            try:
                data = yield from self.conn.recv(BLOCK)
            except Exception:
                self.broken = True
                raise
            side.receive(data)
        if not side.incoming.ended:
            yield from Event().wait()

    # Answering.

    @operation
    def transmit(self, data: Piece) -> Generator[Any, None, None]:
        """Send bytes that are right on the wire."""
        silence, limits = self.silence, self.limits
        if limits.send_s is not None:
            silence.until = self.now() + limits.send_s + len(data) / limits.send_rate
        try:
            yield from self.conn.sendall(data)
        except BaseException:
            self._break()
            raise
        silence.until = None

    def _break(self) -> None:
        """Close the connection after a send that has failed or was given up: what is sent next would be taken for the
        rest of it.
        """
        self.broken = self.side.closing = True
        self.silence.until = None
        self.cut()

    @operation
    def respond(self, status: int, body: Piece, given: Given | Written) -> Generator[Any, None, None]:
        """Send a whole answer. What transmit() does is here as well: a frame less for most requests."""
        side, data = self.side, None
        try:
            data = self._begin_answer(status, given, body)
            if data is not None:
                yield from self.conn.sendall(data)
                self.silence.until = None
                return
        except BaseException as error:
            if side.status:
                self.sent = max(bytes_sent(error) - (len(data or b"") - len(body)), 0)
                self._break()
            raise
        yield from self._respond_unusually(status, body, given)

    @usually
    def _begin_answer(self, status: int, given: Given | Written, body: Piece) -> bytes | None:
        """Return a whole answer, for which the client's time begins. None if it is not a usual one, or not the time."""
        side = self.side
        if self.stopping is not None and self.stopping.is_set():
            side.closing = True
        data = side.whole(status, given, body) if side.received_all else None
        if data is not None:
            self.sent = len(body)
            if self.limits.send_s is not None:
                self.silence.until = self.now() + self.limits.send_s + len(data) / self.limits.send_rate
        return data

    @operation
    def _respond_unusually(self, status: int, body: Piece, given: Given | Written) -> Generator[Any, None, None]:
        side = self.side
        if not side.received_all and self._will_not_read(side):
            side.closing = True
        before = side.status
        try:
            pieces: list[Piece] = [side.head(status, given, len(body)), *side.data(body)]
            side.end()
            yield from self._transmit_all([b"".join(pieces)] if len(body) < _JOINED_MAX else pieces)
            self.sent = len(body) if len(pieces) > 1 else 0
        except BaseException:
            if side.status != before:
                self._break()
            raise

    def _will_not_read(self, side: ServerSide) -> bool:
        """Whether so much of the request is to come that the connection is not used again. The answer says so."""
        return side.holds_back or side.incoming.left > self.limits.unread_bytes

    @operation
    def _transmit_all(self, pieces: list[Piece]) -> Generator[Any, None, None]:
        for piece in pieces:
            yield from self.transmit(piece)

    @operation
    def start(self, status: int, given: Given | Written, length: int | None, flush: bool) -> Generator[Any, None, None]:
        """Send the head of an answer, or without `flush` keep it for what is sent next."""
        if self.stopping is not None and self.stopping.is_set():
            self.side.closing = True
        self.unusual = True
        self.sent = 0
        before = self.side.status
        try:
            self._held = self.side.head(status, given, length)
            if flush:
                held, self._held = self._held, b""
                yield from self.transmit(held)
        except BaseException:
            if self.side.status != before:
                self._break()
            raise

    @operation
    def send(self, data: Piece) -> Generator[Any, None, None]:
        """Send a piece of the answer's body."""
        pieces = self.side.data(data)
        try:
            size = len(data) if pieces else 0
            if self._held:
                pieces.insert(0, self._held)
                self._held = b""
            if len(pieces) > 1 and len(data) < _JOINED_MAX:
                pieces = [b"".join(pieces)]
            yield from self._transmit_all(pieces)
            self.sent += size
        except BaseException:
            self._break()
            raise

    @operation
    def sendfile(self, file: IO[bytes], offset: int, count: int | None) -> Generator[Any, None, None]:
        """Send a part of a file as a piece of the answer's body; None: the rest of it."""
        if count is None:
            count = yield from size_behind(file, offset)
        side, conn = self.side, self.conn
        chunked = side.framing == CHUNKED
        passes = side.body.passes(count)
        if self._held:
            held, self._held = self._held, b""
            yield from self.transmit(held)
        if not passes:
            return
        end = offset + count
        while offset < end:
            size = min(end - offset, PIECE)
            if chunked or not isinstance(conn, TCP):
                data = yield from read_some(file, offset, size)
                sent = len(data)
                if chunked:  # no chunk is announced before its data is here
                    yield from self.send(data)
                else:
                    yield from self.transmit(data)
            else:
                yield from in_memory(file, offset, size)
                sent = yield from self._sendfile(conn, file, offset, size)
            if not sent:
                raise EOFError(f"{file!r} has become shorter: {end - offset} bytes are missing")
            if not chunked:
                side.body.passed(sent)
                self.sent += sent
            offset += sent

    def _sendfile(self, conn: TCP, file: IO[bytes], offset: int, size: int) -> Generator[Any, None, int]:
        silence, limits = self.silence, self.limits
        if limits.send_s is not None:
            silence.until = self.now() + limits.send_s + size / limits.send_rate
        try:
            sent = yield from conn.sendfile(file, offset, size)
        except BaseException:
            self.broken = True
            raise
        silence.until = None
        return sent

    @operation
    def end(self, trailers: Given = ()) -> Generator[Any, None, None]:
        """End the answer."""
        last = self._held + self.side.end(trailers)
        try:
            self._held = b""
            if last:
                yield from self.transmit(last)
        except BaseException:
            self._break()
            raise

    @operation
    def informational(self, status: int, given: Given) -> Generator[Any, None, None]:
        """Send an interim answer."""
        data = self.side.informational(status, given)
        if data:
            yield from self.transmit(data)

    @operation
    def upgrade(self, protocol: str | None, given: Given) -> Generator[Any, None, Stream]:
        """Answer that the connection now speaks another protocol, and return it."""
        yield from self.transmit(self.side.upgrade(protocol, given))
        event = self.side.next()
        assert isinstance(event, Upgraded)
        self.silence.disarm()
        self.upgraded = True
        return Stream(self.below, received=event.data)

    # The end of an exchange.

    @operation
    def skip_rest(self) -> Generator[Any, None, bool]:
        """Receive what the handler has not read of the request. Return False if that is too much, or malformed."""
        side, room = self.side, self.limits.unread_bytes
        if side.closing or side.holds_back:
            return False
        try:
            while side.incoming.left <= room:
                data = yield from self.receive(BLOCK)
                if not data:
                    return True
                room -= len(data)
        except ProtocolError:
            pass
        return False

    def cut(self) -> None:
        """Close so that the client sees that the answer is not complete, whatever its framing."""
        sock = socket_of(self.below)
        if self.side.framing == UNTIL_CLOSE and hasattr(sock, "setopt") and not sock.closed:
            sock.setopt("linger", 0)  # only a reset tells a body that was cut off from a whole one
        self.below.close()
