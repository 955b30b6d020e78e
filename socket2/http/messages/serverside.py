"""A connection as a server sees it: requests come out, and answers go in, one exchange after another.

    side.receive(data); event = side.next()         # a RequestHead, bytes, an End, an Upgraded, or None: more must come
    send(side.head(200, {...}, 5)); send(*side.data(b"hello")); send(side.end()); side.next_exchange()

An answer may begin before the request has ended. next() returns nothing of the next request before next_exchange().
"""

from __future__ import annotations

from functools import lru_cache

from .bounds import Limits
from .compiled import learn, tell, usually
from .dates import date_line
from .errors import ProtocolError
from .fields import Given, elements
from .framing import CHUNKED, UNTIL_CLOSE
from .heads import REQUESTS, RequestHead, check_request_line, parse_request, simple_request
from .incoming import BLOCK, End, Incoming, Upgraded
from .outgoing import SENT, Outgoing, Piece, Written, checked_length, written
from .status import has_no_body, status_line
from .syntax import Checker

# Larger heads are not kept while a connection is idle.
_KEPT_MAX = 1024


@lru_cache(maxsize=512)
def usual_head(status: int, block: bytes, size: int) -> bytes | None:
    """Return the head of an answer but the date, if `block` has none, and the empty line.

    None if such answers have no body.
    """
    if has_no_body(status):
        return None
    return status_line(status) + block + b"content-length: %d\r\n" % size


learn(Incoming, Written)
tell(status_line=status_line, date_line=date_line, sent=SENT)


class ServerSide:
    """The state of a server's connection.

    `request`: the head of the present request, None before it. `received_all`: whether all of the present request was
    taken. `answered`: whether all of its answer was sent. `closing`: whether the connection ends after it.
    """

    __slots__ = (
        "_before",
        "_checker",
        "_continued",
        "_error",
        "_out",
        "_upgraded",
        "answered",
        "closing",
        "incoming",
        "limits",
        "received_all",
        "request",
        "status",
    )

    def __init__(self, limits: Limits | None = None, checker: Checker = REQUESTS) -> None:
        self.limits = limits or Limits()
        self.incoming = Incoming(self.limits)
        self.request: RequestHead | None = None
        self.status = 0  # of the answer, 0 before it
        self.received_all = False
        self.answered = False
        self.closing = False
        self._before: RequestHead | None = None  # the latest request
        self._checker = checker
        self._continued = False  # whether 100 (Continue) was sent
        self._error: tuple[str, int] | None = None  # it is raised again: what follows it cannot be understood
        self._out: Outgoing | None = None  # the answer's body, from its head on
        self._upgraded = False

    # Requests.

    def receive(self, data: bytes) -> None:
        """Add what was received; b"" is the end of what the client sends."""
        self.incoming.receive(data)

    def next(self, n: int = BLOCK) -> RequestHead | bytes | End | Upgraded | None:
        """Return the next event: a head, up to `n` bytes of its body, an End. None if more must be received first.

        After an End, None until next_exchange(). After an answer that has upgraded the connection, Upgraded. Raises
        ProtocolError; the connection can only be closed then, after an answer with the error's status.
        """
        if self.request is None:
            return self.next_head()
        if self._error is not None:
            raise ProtocolError(*self._error)
        if self._upgraded:
            return Upgraded(self.incoming.rest())
        if self.received_all:
            return None
        try:
            event = self.incoming.body(n)
        except ProtocolError as error:
            self._fail(error)
            raise
        if event.__class__ is End:
            self.received_all = True
        return event

    def next_head(self) -> RequestHead | None:
        """Return the head of the next request, as next() does when it waits for one. Raises ProtocolError."""
        if self._error is not None:
            raise ProtocolError(*self._error)
        try:
            head = self.incoming.head(self._check_line)
            return (
                None if head is None else self._started(parse_request(head, self.limits, self._checker, self._before))
            )
        except ProtocolError as error:
            self._fail(error)
            raise

    @usually
    def take(self, data: bytes) -> RequestHead | None:
        """Do receive() and next_head() together, for data that comes while nothing else was received.

        Clients like to repeat themselves. What was found out about a head is true of one that is equal.
        """
        before = self._before
        try:
            if before is not None and data == before.raw:
                return self._started(before)
            if self.incoming.is_head(data):
                return self._started(parse_request(data, self.limits, self._checker, before))
        except ProtocolError as error:
            self._fail(error)
            raise
        self.incoming.receive(data)
        return self.next_head()

    def _started(self, request: RequestHead) -> RequestHead:
        self.request = request
        self._before = request if len(request.raw) < _KEPT_MAX else None
        if request.body:
            self.incoming.begin_body(request.body)
        else:
            self.received_all = True
        if not request.keep_alive:
            self.closing = True
        return request

    def _fail(self, error: ProtocolError) -> None:
        self._error = (error.reason, error.status)
        self.closing = True

    def _check_line(self, line: bytes) -> None:
        check_request_line(line, self.limits)

    @property
    def ended(self) -> bool:
        """Whether the client has ended its half, and nothing of a request is left."""
        return self.incoming.ended and self.incoming.empty

    @property
    def holds_back(self) -> bool:
        """Whether the client may be keeping the body back until it gets 100 (Continue), or a final answer."""
        request = self.request
        return (
            request is not None
            and request.expects_continue
            and not self._continued
            and self.incoming.empty
            and not (self.received_all or self.incoming.size)
        )

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client waits for 100 (Continue) before it sends the body."""
        return self.holds_back and not self.status

    @property
    def framing(self) -> int | None:
        """The length of the answer's body, CHUNKED or UNTIL_CLOSE; None before the answer."""
        return None if self._out is None else self._out.framing

    @property
    def lingers(self) -> bool:
        """Whether the client may be sending when the connection ends, so that a plain close could lose the answer."""
        request = self.request
        return request is None or request.keep_alive or not (self.received_all and self.incoming.empty)

    # Answers.

    def informational(self, status: int, given: Given = ()) -> bytes:
        """Return an interim answer, such as 100 or 103; b"" for a client with HTTP/1.0, which knows none.

        Raises ValueError for other statuses and 101; RuntimeError if the answer has begun.
        """
        request = self._asked()
        if not 100 <= status <= 199 or status == 101:
            raise ValueError(f"an interim answer has a status from 100 to 199 but 101, not {status!r}")
        self._continued = self._continued or status == 100
        return status_line(status) + Written(given).block + b"\r\n" if request.minor else b""

    def head(self, status: int, given: Given | Written = (), length: int | None = None) -> bytes:
        """Return the head of the answer. `length`: of the body, None if it is not known before its end.

        A Content-Length in the fields means the same. For HEAD, it is the length that the answer to GET would have.
        Raises ValueError for fields or a status that cannot be; RuntimeError if the answer has begun.
        """
        request = self._asked()
        fields = written(given) if given else None
        if length is None:
            length = fields.length if fields is not None else None
        else:
            checked_length(length)
            if fields is not None and fields.length not in (None, length):
                raise ValueError(f"the Content-Length is {fields.length}, but the body has {length} bytes")
        line = status_line(status)
        if status < 200:
            raise ValueError("use informational() or upgrade() for an answer below 200")
        if fields is not None and fields.closes:
            self.closing = True
        framing, shown = self._framing(request, status, length)
        parts = [line]
        if fields is None or not fields.has_date:
            parts.append(date_line())
        if fields is not None:
            parts.append(fields.block)
        if shown:
            parts.append(shown)
        if self.closing:
            parts.append(b"connection: close\r\n" if fields is None else fields.connection_line(b"close"))
        elif not request.minor:
            parts.append(b"connection: keep-alive\r\n")
        elif fields is not None and fields.connection:
            parts.append(fields.connection_line())
        parts.append(b"\r\n")
        self._out = Outgoing(framing, request.method == "HEAD" or status == 304)
        self.status = status
        return b"".join(parts)

    @usually
    def whole(self, status: int, given: Given | Written, body: Piece) -> bytes | None:
        """Return a whole answer if it is a usual one, otherwise None, and nothing has changed. Raises ValueError."""
        request = self.request
        if request is None or not request.usual or self._out is not None or self.closing:
            return None
        given = written(given)
        fits = given.usual and given.length in (None, len(body))
        known = usual_head(status, given.block, len(body)) if fits else None
        if known is None:
            return None
        data = b"".join((known, b"" if given.has_date else date_line(), b"\r\n", body))
        self._out = SENT
        self.status = status
        self.answered = True
        return data

    def _framing(self, request: RequestHead, status: int, length: int | None) -> tuple[int, bytes]:
        """Return how the body is framed, and the field that says so."""
        if has_no_body(status) or (request.method == "CONNECT" and status < 300):
            if status == 304 and length is not None:
                return 0, b"content-length: %d\r\n" % length
            if length:
                raise ValueError(f"an answer with status {status} has no body")
            self.closing |= request.method == "CONNECT"  # for the client a tunnel begins
            return 0, b""
        if length is not None:
            return length, b"content-length: %d\r\n" % length
        if request.minor:
            return CHUNKED, b"transfer-encoding: chunked\r\n"
        self.closing = True
        return UNTIL_CLOSE, b""

    def data(self, data: Piece) -> list[Piece]:
        """Return what to send for a piece of the answer's body. Raises ValueError if it is too long; RuntimeError."""
        return self._begun().data(data)

    @property
    def body(self) -> Outgoing:
        """The answer's body on its way. Raises RuntimeError if the answer has not begun."""
        return self._begun()

    def end(self, trailers: Given = ()) -> bytes:
        """Return what to send at the end of the answer. Raises ValueError if the body is too short; RuntimeError."""
        last = self._begun().end(trailers)
        self.answered = True
        return last

    def upgrade(self, protocol: str | None = None, given: Given = ()) -> bytes:
        """Return the answer that makes the connection speak another protocol, behind which is no HTTP any more.

        For CONNECT it is 200, else 101, with `protocol` or the only one that the client has offered in Upgrade. Raises
        RuntimeError if the client has not offered it, or its request has not been received as a whole, or the answer
        has begun.
        """
        request = self._asked()
        if not self.received_all:
            raise RuntimeError("the body of the request must be received before the connection is upgraded")
        written = Written(given)
        if request.method == "CONNECT":
            head = status_line(200) + date_line() + written.block + written.connection_line()
            self.status = 200
        else:
            name = Written([("upgrade", _chosen(protocol, request.upgrade))])
            head = status_line(101) + date_line() + name.block + written.connection_line(b"upgrade") + written.block
            self.status = 101
        self._upgraded = self.closing = True
        self._out = Outgoing(0)
        self.end()
        return head + b"\r\n"

    def refusal(self, error: ProtocolError, body: bytes) -> bytes:
        """Return an answer to something that is no request, b"" if an answer has begun."""
        if self._out is not None:
            return b""
        if self.request is None:
            self.request = simple_request("GET")
        self.closing = True
        given = [("content-type", "text/plain; charset=utf-8"), *error.headers]
        head = self.head(error.status, given, len(body))
        return head + b"".join(self.data(body)) + self.end()

    def _asked(self) -> RequestHead:
        request = self.request
        if request is None:
            raise RuntimeError("there is no request to answer")
        if self._out is not None:
            raise RuntimeError("the answer has already begun")
        return request

    def _begun(self) -> Outgoing:
        if self._out is None:
            raise RuntimeError("the answer has not begun")
        return self._out

    def next_exchange(self) -> None:
        """Begin to wait for the next request. Raises RuntimeError if this one is not over, or the connection ends."""
        if not self.go_on():
            raise RuntimeError("the exchange is not over, or the connection cannot be used again")

    @usually
    def go_on(self) -> bool:
        """Begin to wait for the next request, and return True, if this exchange is over and another may follow it."""
        if not self.answered or not self.received_all or self.closing:
            return False
        self.request = self._out = None
        self.status = 0
        self.received_all = self.answered = self._continued = False
        return True


def _chosen(protocol: str | None, offers: bytes | None) -> str:
    """Return the protocol that the connection is to speak. Raises RuntimeError if the client has not offered it."""
    if offers is None:
        raise RuntimeError("the client has not offered to upgrade the connection")
    offered = elements(offers)
    if protocol is None and len(offered) == 1:
        return offers.strip(b", \t").decode("latin-1")
    if protocol is None or protocol.lower().encode("latin-1", "replace") not in offered:
        raise RuntimeError(f"the client has offered {offers.decode('latin-1')}, not {protocol!r}")
    return protocol
