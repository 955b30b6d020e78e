"""A connection as a client sees it: requests go in, and responses come out, one exchange after another.

    send(side.head("GET", "/", {"host": "example.org"})); send(side.end())
    side.receive(data); event = side.next()        # a ResponseHead, bytes, an End, an Upgraded, or None: more must come

Interim responses come as heads with a status below 200; then a further head follows. The response may begin before the
request has ended.
"""

from __future__ import annotations

from .bounds import Limits
from .errors import ProtocolError
from .fields import Given, field_name
from .framing import CHUNKED
from .heads import RESPONSES, RequestHead, ResponseHead, parse_response
from .incoming import BLOCK, End, Incoming, Upgraded
from .outgoing import SENT, Outgoing, Piece, Written, checked_length, written
from .status import has_no_body
from .syntax import Checker

_FIT_FOR_TARGET = frozenset(range(0x21, 0x7F)) - {ord("#")}

# Requests with these have no body unless they say so. For others, a server expects a length. RFC 9110, 8.6.
_NO_LENGTH = ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT")

# Larger heads are not kept while a connection is idle.
_KEPT_MAX = 1024


class ClientSide:
    """The state of a client's connection.

    `response`: the head of the final response, None before it. `received_all`: whether all of it was taken. `closing`:
    whether the connection ends with this exchange.
    """

    __slots__ = (
        "_checker",
        "_error",
        "_known",
        "_method",
        "_offered",
        "_out",
        "_sent",
        "_upgraded",
        "closing",
        "incoming",
        "limits",
        "received_all",
        "response",
    )

    def __init__(self, limits: Limits | None = None, checker: Checker = RESPONSES) -> None:
        """`limits.body_bytes` counts for the bodies of responses here."""
        self.limits = limits or Limits()
        self.incoming = Incoming(self.limits)
        self.response: ResponseHead | None = None
        self.received_all = False
        self.closing = False
        self._checker = checker
        self._error: tuple[str, int] | None = None
        self._known: tuple[bytes, ResponseHead] | None = None  # the latest head that take() has seen
        self._method = ""  # of the present request, "" before it
        self._offered = False  # whether it has offered to upgrade the connection
        self._out: Outgoing | None = None
        self._sent = False  # whether the request has ended
        self._upgraded = False

    # Requests.

    def head(self, method: str, target: str | bytes, given: Given | Written, length: int | None = 0) -> bytes:
        """Return the head of a request. `length`: of the body, None if it is not known before its end.

        The fields must have a Host. A Content-Length among them means the same as `length`. Raises ValueError for what
        cannot be in a request; RuntimeError if the exchange before is not over.
        """
        if self._method or self.closing:
            raise RuntimeError("the exchange before is not over, or the connection cannot be used again")
        line = self._line(method, target)
        fields = written(given)
        if not fields.has_host:
            raise ValueError("a request needs a Host")
        if fields.length is not None:
            if length and length != fields.length:
                raise ValueError(f"the Content-Length is {fields.length}, but the body has {length} bytes")
            length = fields.length
        if length is not None:
            checked_length(length)
        if method == "CONNECT" and length != 0:
            raise ValueError("CONNECT has no body")
        if length is None:
            framing, shown = CHUNKED, b"transfer-encoding: chunked\r\n"
        elif length or method not in _NO_LENGTH:
            framing, shown = length, b"content-length: %d\r\n" % length
        else:
            framing, shown = 0, b""
        self.closing = fields.closes
        connection = fields.connection_line(*([b"close"] if fields.closes else []))
        self._method = method
        self._offered = b"upgrade" in fields.connection
        self._out = Outgoing(framing)
        return line + fields.block + shown + connection + b"\r\n"

    @staticmethod
    def _line(method: str, target: str | bytes) -> bytes:
        octets = target.encode("ascii", "replace") if isinstance(target, str) else target
        if not octets or not _FIT_FOR_TARGET.issuperset(octets) or (isinstance(target, str) and not target.isascii()):
            raise ValueError(f"not a request target, which must be percent-encoded: {target!r}")
        if field_name(method) != method.lower().encode("ascii"):
            raise ValueError(f"not a method: {method!r}")
        return b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), octets)

    def whole(self, request: RequestHead, block: bytes, body: bytes) -> bytes:
        """Return a whole request for the path that another one names. That was received, and has been checked.

        `block`: the checked lines of the fields, with Host, without those that frame the message. The next is take().
        Raises RuntimeError if the exchange before is not over.
        """
        if self._method or self.closing:
            raise RuntimeError("the exchange before is not over, or the connection cannot be used again")
        method = request.method
        self._method = method
        self._out = SENT
        self._sent = True
        if body or method not in _NO_LENGTH:
            block += b"content-length: %d\r\n" % len(body)
        return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode("ascii"), request.raw_target, block, body)

    def data(self, data: Piece) -> list[Piece]:
        """Return what to send for a piece of the request's body. Raises ValueError if it is too long; RuntimeError."""
        return self._begun().data(data)

    def end(self, trailers: Given = ()) -> bytes:
        """Return what to send at the end of the request. Raises ValueError if the body is too short; RuntimeError."""
        end = self._begun().end(trailers)
        self._sent = True
        return end

    def _begun(self) -> Outgoing:
        if self._out is None or self._sent:
            raise RuntimeError("no request has begun, or it has ended")
        return self._out

    # Responses.

    def receive(self, data: bytes) -> None:
        """Add what was received; b"" is the end of what the server sends."""
        self.incoming.receive(data)

    def take(self, data: bytes) -> bytes | None:
        """Do receive() for the first data behind a request. Return the body if that is a whole response, with a length.

        Then the exchange is over. Otherwise return None, and next() goes on: it finds all of what has come. Servers
        like to repeat themselves. What was found out about a head is true of one that is equal.
        """
        incoming, method = self.incoming, self._method
        at = data.find(b"\r\n\r\n") + 4
        head = data[:at]
        known = self._known
        if not incoming.empty or not 4 < at <= self.limits.head_bytes + 4 or method == "HEAD" or method == "CONNECT":
            incoming.receive(data)
            return None
        if known is None or known[0] != head:
            try:
                known = head, parse_response(head, method, self.limits, self._checker)
            except ProtocolError:  # next() finds it, too
                incoming.receive(data)
                return None
            self._known = known if at < _KEPT_MAX else None
        response = known[1]
        if has_no_body(response.status) or response.body != len(data) - at or self._is_too_large(response):
            incoming.receive(data)
            return None
        self.response = response
        self.received_all = True
        if not response.keep_alive:
            self.closing = True
        return data[at:]

    def _is_too_large(self, response: ResponseHead) -> bool:
        most = self.limits.body_bytes
        return most is not None and response.body > most

    def next(self, n: int = BLOCK) -> ResponseHead | bytes | End | Upgraded | None:
        """Return the next event: a head, up to `n` bytes of its body, an End. None if more must be received first.

        After the End, None until next_exchange(); after the head of a response that upgrades the connection, Upgraded.
        Raises ProtocolError; the connection can only be closed then.
        """
        if self._error is not None:
            raise ProtocolError(*self._error)
        try:
            if self._upgraded:
                return Upgraded(self.incoming.rest())
            if self.response is None:
                return self._next_response()
            if self.received_all:
                return None
            event = self.incoming.body(n)
        except ProtocolError as error:
            self._error = (error.reason, error.status)
            self.closing = True
            raise
        if isinstance(event, End):
            self.received_all = True
        return event

    def _next_response(self) -> ResponseHead | None:
        incoming = self.incoming
        if not self._method:
            if not incoming.empty:
                raise ProtocolError("the server sends a response without a request")
            return None
        head = incoming.head(self._check_nothing)
        if head is None:
            if incoming.ended:
                raise ProtocolError("the connection ended before a response")
            return None
        response = parse_response(head, self._method, self.limits, self._checker)
        status = response.status
        if status == 101 or (self._method == "CONNECT" and 200 <= status < 300):
            if status == 101 and not self._offered:
                raise ProtocolError("the server upgrades the connection without being asked")
            self._upgraded = self.closing = True
        if status >= 200 or self._upgraded:
            self.response = response
            incoming.begin_body(response.body)
            if not response.keep_alive:
                self.closing = True
        return response

    @staticmethod
    def _check_nothing(line: bytes) -> None:
        pass

    def next_exchange(self) -> None:
        """Allow the next request. Raises RuntimeError if this exchange is not over, or the connection ends with it."""
        if not self.received_all or not self._sent or self.closing:
            raise RuntimeError("the exchange is not over, or the connection cannot be used again")
        self.response = self._out = None
        self._method = ""
        self.received_all = self._sent = self._offered = False
