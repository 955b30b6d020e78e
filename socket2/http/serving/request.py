"""A request as its handler sees it: what the client wants, the body, and the answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, TypeAlias

from pollers import Operation

from ...sockets.address import SocketAddress
from ...sockets.binary import Wrapping, binary_source
from ...streams.stream import Stream
from ...streams.transport import byte_count
from ..messages.fields import Fields, Given, pairs_of
from ..messages.heads import RequestHead
from ..messages.outgoing import Written, json_octets
from ..websocket.accepting import accepted
from ..websocket.socket import WebSocket
from ..websocket.terms import CLOSE_S, MAX_BYTES, PING_S, Terms
from .body import Body
from .exchange import Exchange
from .representation import Answer, file_answer, respond_with

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, StrOrBytesPath

Text: TypeAlias = "str | ReadableBuffer"

NOTHING: frozenset[bytes] = frozenset()

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_JSON = (b"content-type", b"application/json")
PLAIN_TEXT = Written([_TEXT])


def _typed(headers: Given, content_type: tuple[bytes, bytes]) -> Given:
    """Return the fields of an answer, with this Content-Type unless they have one."""
    pairs = pairs_of(headers)
    return pairs if any(name == b"content-type" for name, _ in pairs) else [*pairs, content_type]


class Request(Body):
    """A request. The handler answers it with respond() or respond_file(), or with start(), send() and end().

    Do not make one: http.serve() and http.handler() call the handler with it. It can be used until the handler ends,
    also by threads that the handler has started. Then its operations raise RuntimeError.
    """

    __slots__ = ("_client", "_fields", "_head", "_host", "_scheme", "believed")

    def __init__(self, head: RequestHead, exchange: Exchange, client: SocketAddress, scheme: str) -> None:
        self._head = head
        self._exchange = exchange
        self._client = client
        self._scheme = scheme
        self._rest = self._fields = self._host = None
        self.believed = NOTHING
        self._whole = False

    believed: frozenset[bytes]  # the fields in which a trusted peer says whom the request comes from
    _fields: Fields | None
    _host: bytes | None  # what a trusted proxy says

    # What the client wants.

    @property
    def method(self) -> str:
        """The method in capitals, such as "GET"."""
        return self._head.method

    @property
    def target(self) -> str:
        """The request target as the client has sent it: usually a path, perhaps with a query."""
        return self._head.raw_target.decode("ascii")

    @property
    def path(self) -> str:
        """The path without percent-encoding, as UTF-8. `"*"` for `OPTIONS *`, `""` for CONNECT."""
        return self._head.target.decoded_path()

    @property
    def query(self) -> str:
        """What is behind the "?", as the client has sent it: urllib.parse.parse_qs() decodes it."""
        return self._head.target.query.decode("ascii")

    @property
    def headers(self) -> Fields:
        """The header fields."""
        if self._fields is None:
            self._fields = self._head.fields
        return self._fields

    @property
    def trailers(self) -> Fields | None:
        """The trailer fields; None before the end of the body was received. Most requests have none."""
        return self._now().trailers

    @property
    def host(self) -> str:
        """The host that the client wants, perhaps with a port: from an absolute target, else from the Host field.

        With `trusted` proxies, what they say in X-Forwarded-Host or Forwarded, if that is among the fields to trust.
        """
        return (self._head.host if self._host is None else self._host).decode("latin-1")

    @property
    def named_host(self) -> bytes | None:
        """The host that takes the place of the Host field: of the target, or what trusted proxies say. None: none does.

        For the other rooms of socket2.
        """
        if self._host is not None:
            return self._host
        head = self._head
        return None if head.origin else head.target.authority or None

    @property
    def http_version(self) -> str:
        """ "1.1" or "1.0"."""
        return f"1.{self._head.minor}"

    @property
    def scheme(self) -> str:
        """ "https" if the connection is TLS, or if a `trusted` proxy says so; else "http"."""
        return self._scheme

    @property
    def client(self) -> SocketAddress:
        """The client's address, in the form of the standard library. With `trusted` proxies, what they say.

        Its port is 0 if they do not say it.
        """
        return self._client

    @property
    def server(self) -> SocketAddress:
        """The address that the client has connected to, in the form of the standard library."""
        return self._now().server

    @property
    def head(self) -> RequestHead:
        """What has been received before the body. For the other rooms of socket2."""
        return self._head

    @property
    def exchange(self) -> Exchange:
        """The exchange below, for what a request does not offer. For the other rooms of socket2."""
        return self._now()

    @property
    def body_limit(self) -> int | None:
        """How many bytes the body may have. Set it before the first receive to allow this request more, or less."""
        return self._now().side.incoming.body_max

    @body_limit.setter
    def body_limit(self, n: int | None) -> None:
        self._now().side.incoming.body_max = n

    # The answer.

    @property
    def answered(self) -> int:
        """The status of the answer; 0 before it has begun."""
        return self._now().side.status

    def respond(self, status: int, body: Text = b"", headers: Given = (), *, json: object = None) -> Operation[None]:
        """Send a whole answer.

        `body`: bytes, or a str, which is sent as UTF-8 and as text/plain unless `headers` has a Content-Type. For HEAD
        only its length is sent. `headers`: a dict, or pairs of names and values. Date and Content-Length are added.
        `json`: a value to send as JSON in place of a body, as application/json unless `headers` has a Content-Type.

        Returns when the system has accepted the answer. Raises ValueError if the status or a header cannot be, or has
        a line end in it; RuntimeError if an answer has begun; errors of the connection. A cancellation cuts the answer
        off: the connection is closed. The call raises TypeError for a body together with `json`, and as json.dumps().
        """
        exchange = self._exchange or self._now()
        if json is not None:
            if body:
                raise TypeError("an answer has either a body or json")
            return exchange.respond(status, json_octets(json), _typed(headers, _JSON))
        if type(body) is bytes:
            return exchange.respond(status, body, headers)
        if not isinstance(body, str):
            return exchange.respond(status, memoryview(body).cast("B"), headers)
        return exchange.respond(status, body.encode(), _typed(headers, _TEXT) if headers else PLAIN_TEXT)

    def respond_file(
        self,
        file: StrOrBytesPath | IO[bytes] | Wrapping,
        *,
        status: int = 200,
        content_type: str | None = None,
        headers: Given = (),
    ) -> Operation[None]:
        """Answer with a file, or with what the client wants of it: RFC 9110, 13 and 14.

        `file`: the path of a regular file; or one that open() or open_file() has opened in binary mode, which stays
        open. `content_type`: None for the one that the name's ending means, from a fixed table; unknown ones are
        application/octet-stream, and texts UTF-8. `headers`: also Cache-Control and the like. An ETag or Last-Modified
        among them replaces the one that is made of the file's size, inode and time of modification.

        A GET may get 206 with one part or several, 304 if the client has this version, 412 or 416. With another
        `status` or method, the whole file is sent. The kernel sends it, except over TLS (sendfile(2)). The file is
        opened and read in OS threads, unless its data is in memory.

        Raises OSError if the file cannot be opened: then nothing was sent. If it becomes shorter while it is sent,
        raises EOFError, and the connection is closed when the handler ends; if it becomes longer, the rest is not sent.
        Otherwise as respond() does.
        """
        source = file if isinstance(file, (str, bytes, os.PathLike)) else binary_source(file)
        pairs = pairs_of(headers)
        return self.respond_with(lambda head: file_answer(source, head, status, content_type, pairs))

    def respond_with(self, decide: Callable[[RequestHead], Answer]) -> Operation[None]:
        """Answer with what `decide` returns, in an OS thread. For the other rooms of socket2."""
        return respond_with(self._now(), decide)

    def start(
        self, status: int, headers: Given = (), length: int | None = None, *, flush: bool = True
    ) -> Operation[None]:
        """Begin an answer whose body follows with send() and end().

        `length`: of the body in bytes; a Content-Length in `headers` means the same. Without it the body is sent in
        chunks, or to a client with HTTP/1.0 until the connection ends. `flush`: send the head now; if it is False, it
        goes out together with what is sent next. Raises as respond() does.
        """
        return self._now().start(status, headers, length, flush)

    def send(self, data: Text) -> Operation[None]:
        """Send a piece of the answer's body; a str as UTF-8. It is on its way at once.

        Raises ValueError if it is more than the promised length; RuntimeError if no answer has begun; errors of the
        connection.
        """
        piece = data.encode() if isinstance(data, str) else data if type(data) is bytes else memoryview(data).cast("B")
        return self._now().send(piece)

    def sendfile(self, file: IO[bytes] | Wrapping, offset: int = 0, count: int | None = None) -> Operation[None]:
        """Send `count` bytes of a file, or the rest of it, from `offset` on, as a piece of the answer's body.

        `file`: from open() or open_file(), in binary mode. Its position afterwards is not defined. The kernel sends the
        data if it can, which is not over TLS and in chunks (sendfile(2)). respond_file() answers with a whole file.

        Raises EOFError if the file ends before; what was sent of it counts as a piece. Otherwise as send() does.
        """
        rest = None if count is None else byte_count(count)
        return self._now().sendfile(binary_source(file), byte_count(offset), rest)

    def end(self, trailers: Given = ()) -> Operation[None]:
        """End the answer. If the handler returns without that, it is done then.

        `trailers`: fields behind the body, if it is sent in chunks. Raises ValueError if the body is shorter than its
        promised length; otherwise as send() does.
        """
        return self._now().end(trailers)

    def informational(self, status: int, headers: Given = ()) -> Operation[None]:
        """Send an interim answer: 100 (Continue), 102, or 103 (Early Hints). A client with HTTP/1.0 gets none.

        recv() and the other receives send 100 by themselves. Raises ValueError for another status; RuntimeError if the
        answer has begun.
        """
        return self._now().informational(status, headers)

    def upgrade(self, protocol: str | None = None, headers: Given = ()) -> Operation[Stream]:
        """Accept what the client has offered in Upgrade, or a CONNECT, and return the connection as a Stream.

        `protocol`: the one that is chosen; None for the only one that the client has offered. The body of the request
        must have been received. When the handler ends, the connection is closed. Raises RuntimeError if the client has
        not offered this, or an answer has begun.
        """
        return self._now().upgrade(protocol, headers)

    def websocket(
        self,
        *,
        subprotocols: Iterable[str] = (),
        origins: Iterable[str] | None = None,
        compress: bool = True,
        max_bytes: int | None = MAX_BYTES,
        ping_interval_s: float | None = PING_S,
        ping_timeout_s: float | None = PING_S,
        close_s: float = CLOSE_S,
        headers: Given = (),
    ) -> Operation[WebSocket]:
        """Accept a WebSocket, and return it. When the handler ends, it is closed.

        `subprotocols`: those that the handler speaks, the preferred one first; `ws.subprotocol` is the first of them
        that the client offers. `origins`: of which sites pages may open it, such as ["https://example.org"]; ["*"]: of
        all; None: only pages of the host that the request names. Programs other than browsers send no Origin, and are
        not refused.

        `compress`: whether to compress messages if the client can. `max_bytes`: how long a message may be, as it is
        after decompression; the peer of a longer one gets code 1009. None: no limit. After `ping_interval_s` seconds
        without anything from the client it gets a ping, and if nothing comes in `ping_timeout_s` seconds the connection
        is closed, with code 1006. None: no pings; no limit. `close_s`: how long the end may take after the first Close
        frame. `headers`: more fields of the answer.

        Raises ProtocolError if the request does not ask for a WebSocket (status 400, 405, 426) or comes from another
        site (403); if the handler does not catch it, it is the answer. Raises RuntimeError if an answer has begun. The
        call raises ValueError, TypeError; ImportError if the package `websockets` is missing.
        """
        exchange = self._now()
        return accepted(
            self._head,
            self.host,
            exchange,
            Terms(max_bytes, ping_interval_s, ping_timeout_s, close_s),
            subprotocols=subprotocols,
            origins=origins,
            compress=compress,
            headers=headers,
        )

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"
