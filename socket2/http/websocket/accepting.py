"""A WebSocket from the server's side: a request becomes one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Protocol

from pollers import Operation, operation

from ...streams.stream import Stream
from ..messages.fields import Given, pairs_of
from ..messages.heads import RequestHead
from .codec import masking
from .leaving import Audience, audience
from .socket import WebSocket
from .terms import Terms
from .upgrade import Agreed, accept, checked_subprotocols

_OWN_FIELDS = (b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions")


class Upgradable(Protocol):
    """The exchange of a request."""

    websocket: WebSocket | None

    def upgrade(self, protocol: str, given: list[tuple[Any, Any]], /) -> Operation[Stream]:
        """Answer that the connection now speaks another protocol, and return it."""


class ServedWebSocket(WebSocket):
    """One that its server knows, and closes when it stops."""

    _audience: Audience | None = None

    def enter(self) -> None:
        self._audience = audience()
        if self._audience is not None:
            self._audience.enter(self)

    def _stopped(self) -> None:
        super()._stopped()
        if self._audience is not None:
            self._audience.leave(self)


def accepted(
    head: RequestHead,
    host: str,
    exchange: Upgradable,
    terms: Terms,
    *,
    subprotocols: Iterable[str],
    origins: Iterable[str] | None,
    compress: bool,
    headers: Given,
) -> Operation[WebSocket]:
    """Accept a request to `host`, and note the WebSocket in `exchange`. Raises ProtocolError.

    The call itself raises ImportError, ValueError, TypeError.
    """
    masking()
    names = checked_subprotocols(subprotocols)
    if isinstance(origins, str):
        raise TypeError("origins must be a list of str, not one str")
    allowed = None if origins is None else list(origins)
    pairs = pairs_of(headers)
    for name, _ in pairs:
        if name in _OWN_FIELDS:
            raise ValueError(f"{name.decode()} is written by the handshake itself")
    return _accept(head, host, exchange, terms, names, allowed, compress, pairs)


@operation
def _accept(
    head: RequestHead,
    host: str,
    exchange: Upgradable,
    terms: Terms,
    subprotocols: tuple[str, ...],
    origins: list[str] | None,
    compress: bool,
    headers: list[tuple[bytes, bytes]],
) -> Generator[Any, None, WebSocket]:
    agreed: Agreed = accept(head, host, subprotocols=subprotocols, origins=origins, compress=compress)
    stream = yield from exchange.upgrade("websocket", [*agreed.fields, *headers])
    received = b""
    if stream.buffered:
        received = yield from stream.recv(stream.buffered)
    socket = ServedWebSocket(
        stream.sock,
        received,
        terms,
        is_client=False,
        subprotocol=agreed.subprotocol,
        deflate=agreed.deflate,
    )
    exchange.websocket = socket
    socket.enter()
    return socket
