"""The connection scope of an ASGI application: a request as ASGI 3 describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ..messages.fields import received_pairs
from ..messages.heads import RequestHead
from ..serving.request import Request

VERSION = {"version": "3.0", "spec_version": "2.5"}

HTTP_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.early_hint": {},
}

WEBSOCKET_EXTENSIONS: dict[str, dict[str, Any]] = {"websocket.http.response": {}}

_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


def http_scope(request: Request, root: str, state: dict[str, Any] | None) -> dict[str, Any]:
    """Return the scope of a request. `root`: the path that the application is mounted at."""
    head = request.head
    client, server = request.client, request.server
    raw_path, query = path_and_query(head)
    path = unquote(raw_path.decode("ascii"), errors="replace") if b"%" in raw_path else raw_path.decode("ascii")
    if root and not (path == root or path.startswith(root + "/")):
        path = root + path  # a proxy has removed it
    scope = {
        "type": "http",
        "asgi": VERSION,
        "http_version": "1.1" if head.minor else "1.0",
        "method": head.method,
        "scheme": request.scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root,
        "headers": headers_of(head, request.named_host),
        "client": client[:2] if isinstance(client, tuple) else None,
        "server": server[:2] if isinstance(server, tuple) else (server, None),
        "extensions": HTTP_EXTENSIONS,
    }
    if state is not None:
        scope["state"] = state.copy()
    return scope


def websocket_scope(
    request: Request, root: str, state: dict[str, Any] | None, subprotocols: list[str]
) -> dict[str, Any]:
    """Return the scope of a WebSocket, whose client offers `subprotocols`."""
    scope = http_scope(request, root, state)
    del scope["method"]
    scope["type"] = "websocket"
    scope["scheme"] = _WEBSOCKET_SCHEMES[request.scheme]
    scope["subprotocols"] = subprotocols
    scope["extensions"] = WEBSOCKET_EXTENSIONS
    return scope


def path_and_query(head: RequestHead) -> tuple[bytes, bytes]:
    if head.origin:
        path, _, query = head.raw_target.partition(b"?")
        return path, query
    target = head.target
    return target.path, target.query


def headers_of(head: RequestHead, host: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return the fields. `host`: takes the place of the Host field."""
    pairs = received_pairs(head.block)
    if host is not None:
        pairs = [(b"host", host), *(pair for pair in pairs if pair[0] != b"host")]
    return pairs
