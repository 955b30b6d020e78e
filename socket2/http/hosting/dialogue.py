"""receive() and send() of one WebSocket of an ASGI application.

Until the application accepts, it is a request: it may be refused, also with a whole answer. Then its messages are those
of the WebSocket. Whether the page that opens one may do so is for the application to say: it sees the field Origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, MutableMapping
from typing import Any, TypeAlias, cast

from pollers import operation

from ...threads.events import Event
from ..serving.request import Request
from ..websocket.closing import LOST, NORMAL, WebSocketClosed, check_close
from ..websocket.socket import WebSocket
from ..websocket.upgrade import accept, offered_subprotocols
from .cycle import DONE, Cycle
from .isolated import NOW
from .otherloops import with_origins

Message: TypeAlias = MutableMapping[str, Any]

_DENIAL = "websocket."  # before the name of a message of an answer to any request


class Dialogue:
    """One WebSocket, from the request for it to its end. `subprotocols`: those that the client offers.

    `max_bytes`, `compress`: as in Request.websocket(). Raises ProtocolError if the request for it is malformed.
    """

    __slots__ = ("_answered", "_compress", "_cycle", "_max_bytes", "_request", "_socket", "_told", "subprotocols")

    def __init__(self, request: Request, max_bytes: int | None, compress: bool) -> None:
        accept(request.head, request.host, subprotocols=(), origins=("*",), compress=False)
        self.subprotocols = offered_subprotocols(request.headers)
        self._request = request
        self._max_bytes = max_bytes
        self._compress = compress
        self._told = False  # whether the application has got websocket.connect
        self._answered = Event()  # set when there is a WebSocket, or an answer that is none
        self._socket: WebSocket | None = None
        self._cycle: Cycle | None = None  # an answer that refuses the request

    def check(self) -> None:
        """Raise what is wrong when the application has ended."""
        if self._cycle is not None:
            self._cycle.check()
        elif self._socket is None:
            raise RuntimeError("the application has ended without accepting or closing the WebSocket")

    def caused(self, error: BaseException) -> bool:
        """Whether an error of the application only says that the peer has closed the WebSocket, or has gone."""
        if self._socket is None:
            return self._cycle is not None and not self._cycle.works()
        if self._socket.close_code is None:
            return False
        return any(
            isinstance(one, WebSocketClosed) or type(one).__name__ == "WebSocketDisconnect"
            for one in with_origins(error)
        )

    # What an application receives.

    @operation
    def receive(self) -> Generator[Any, None, Message]:
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        yield from self._answered.wait()
        socket = self._socket
        if socket is None:
            return {"type": "websocket.disconnect", "code": LOST, "reason": ""}
        try:
            message = yield from socket.recv()
        except WebSocketClosed:
            message = None
        if message is None:
            return {"type": "websocket.disconnect", "code": socket.close_code or LOST, "reason": socket.close_reason}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    # What an application sends.

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        socket = self._socket
        if kind == "websocket.send":
            if socket is None:
                raise RuntimeError("websocket.send comes behind websocket.accept")
            return socket.send(content_of(message))
        if kind == "websocket.close":
            return self._close(message)
        if kind == "websocket.accept":
            if self._cycle is not None or self._answered.is_set():
                raise RuntimeError("the application has accepted or refused the WebSocket before")
            return self._accept(message)
        if kind in ("websocket.http.response.start", "websocket.http.response.body"):
            if socket is not None:
                raise RuntimeError(f"{kind} refuses a WebSocket, and this one was accepted")
            return self._deny({**message, "type": kind.removeprefix(_DENIAL)})
        raise ValueError(f"a WebSocket cannot be answered with the message {kind!r}")

    @operation
    def _accept(self, message: Message) -> Generator[Any, None, None]:
        chosen = message.get("subprotocol")
        if chosen is not None and chosen not in self.subprotocols:
            raise ValueError(f"the client has not offered the subprotocol {chosen!r}, but {self.subprotocols!r}")
        self._socket = yield from self._request.websocket(
            subprotocols=() if chosen is None else (chosen,),
            origins=("*",),
            compress=self._compress,
            max_bytes=self._max_bytes,
            headers=list(message.get("headers") or ()),
        )
        self._answered.set()

    def _close(self, message: Message) -> Awaitable[None]:
        if self._socket is None:
            return self._refuse()
        code, reason = message.get("code"), message.get("reason") or ""
        code = NORMAL if code is None else code
        check_close(code, reason)
        self._socket.leave(code, reason)
        return NOW

    @operation
    def _refuse(self) -> Generator[Any, None, None]:
        if self._cycle is None:
            yield from self._deny({"type": "http.response.start", "status": 403})
            yield from self._deny({"type": "http.response.body"})

    @operation
    def _deny(self, message: Message) -> Generator[Any, None, None]:
        cycle = self._cycle
        if cycle is None:
            cycle = self._cycle = Cycle(self._request.exchange)
        yield from cycle.send(message).__await__()
        if cycle.state == DONE:
            self._answered.set()


def content_of(message: Message) -> str | bytes:
    """Return what a websocket.send has to say. Raises ValueError, TypeError."""
    text, data = message.get("text"), message.get("bytes")
    if (text is None) == (data is None):
        raise ValueError("websocket.send must have either text or bytes")
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f"the text of websocket.send must be a str, not {type(text).__name__}")
        return text
    if isinstance(data, str):
        raise TypeError("the bytes of websocket.send must not be a str")
    return cast(bytes, data)
