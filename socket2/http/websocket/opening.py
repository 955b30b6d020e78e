"""A WebSocket from the client's side: a request with an HTTP client, and what its answer must be."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from pollers import Operation, operation

from ...streams.stream import Stream
from ..client.client import Client
from ..client.failures import InvalidURL, RequestError, ResponseError
from ..client.pool import PoolLimits
from ..client.request import Timeouts, checked_fields
from ..client.response import Response
from ..client.url import parse_url
from ..messages.errors import ProtocolError
from ..messages.fields import Given
from .codec import masking
from .socket import WebSocket
from .terms import CLOSE_S, MAX_BYTES, PING_S, Terms
from .upgrade import Agreed, Offer, checked_subprotocols

if TYPE_CHECKING:
    import ssl

_SCHEMES = {"ws": 80, "wss": 443}
_KEEPS_NONE = PoolLimits(idle=0)


class WebSocketRefused(RequestError):
    """The server has not opened a WebSocket. `response`: its answer, which is closed: see `status` and `headers`."""

    def __init__(self, reason: str, method: str = "", url: str = "", response: Response | None = None) -> None:
        super().__init__(reason, method, url)
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.method, self.url), {**self.__dict__, "response": None}


def websocket(
    url: str,
    *,
    client: Client | None = None,
    headers: Given | None = None,
    subprotocols: Iterable[str] = (),
    compress: bool = True,
    max_bytes: int | None = MAX_BYTES,
    ping_interval_s: float | None = PING_S,
    ping_timeout_s: float | None = PING_S,
    close_s: float = CLOSE_S,
    timeouts: Timeouts | None = None,
    tls: ssl.SSLContext | None = None,
) -> Operation[WebSocket]:
    """Open a WebSocket: `async with await http.websocket("wss://example.org/chat") as ws:`.

    `url`: ws or wss. `client`: whose cookies, proxies, fields and other settings the request uses; through a proxy it
    always makes a tunnel. `headers`: more fields of the request, such as Origin or Authorization. `subprotocols`: those
    that the program speaks, the preferred one first; `ws.subprotocol` is the one that the server has chosen.
    `timeouts`: for the connection and the request; see Timeouts. `tls`: as for a Client. It must be None with `client`.

    The others are as in Request.websocket().

    Raises WebSocketRefused if the server answers with something else, also with a redirect; ResponseError if its answer
    is not correct; otherwise as Client.request(). A cancellation or timeout closes the connection. The call raises
    InvalidURL, ValueError, TypeError for wrong arguments; ImportError if the package `websockets` is missing.
    """
    masking()
    if client is not None and tls is not None:
        raise ValueError("give tls to the client")
    target = parse_url(url, _SCHEMES)
    if target.fragment:
        raise InvalidURL("the URL of a WebSocket has no fragment", "", str(target))
    offer = Offer(checked_subprotocols(subprotocols), compress)
    terms = Terms(max_bytes, ping_interval_s, ping_timeout_s, close_s)
    request = (client or Client(tls=tls, pool=_KEEPS_NONE)).request(
        "GET",
        f"http{url.strip()[2:]}",
        headers=checked_fields(headers, offer.fields()),
        timeouts=timeouts,
        redirects=0,
    )
    return _open(request, offer, terms)


@operation
def _open(request: Operation[Response], offer: Offer, terms: Terms) -> Generator[Any, None, WebSocket]:
    response = yield from request
    try:
        agreed = _agreed(response, offer)
        stream = response.upgrade()
    finally:
        response.close()
    return (yield from _begin(stream, agreed, terms))


def _agreed(response: Response, offer: Offer) -> Agreed:
    if response.status != 101:
        answer = f"{response.status} {response.reason}".rstrip()
        raise WebSocketRefused(f"the server answers {answer}", response.method, response.url, response)
    try:
        return offer.check(response.headers)
    except ProtocolError as error:
        raise ResponseError(error.reason, response.method, response.url) from None


def _begin(stream: Stream, agreed: Agreed, terms: Terms) -> Generator[Any, None, WebSocket]:
    received = b""
    try:
        if stream.buffered:
            received = yield from stream.recv(stream.buffered)
        return WebSocket(
            stream.sock, received, terms, is_client=True, subprotocol=agreed.subprotocol, deflate=agreed.deflate
        )
    except BaseException:
        stream.close()
        raise
