"""HTTP/1.1: `from socket2 import http`. This module holds the public names and nothing else.

The room knows messages and who exchanges them. It uses connections and threads only through their public methods.
Read `messages/` first: it has what HTTP is, without I/O. `serving/` is a server, `client/` a client,
`websocket/` is what a connection of either can become, `hosting/` runs applications of other interfaces on the server,
`gateway/` passes requests on to other servers, and `files/` serves the files of a directory. `command` is
`python -m socket2 serve`.
"""

from __future__ import annotations

from .client.client import Client, request
from .client.connection import Timings
from .client.failures import (
    ConnectError,
    InvalidURL,
    ProxyError,
    RedirectError,
    RequestError,
    RequestTimeout,
    ResponseError,
)
from .client.pool import PoolLimits
from .client.request import Timeouts
from .client.response import Response, StatusError
from .files.directory import directory
from .gateway.reverse import Proxy, proxy
from .gateway.tunnels import forward_proxy
from .hosting.asgi import asgi
from .hosting.lifespan import LifespanError
from .hosting.wsgi import wsgi
from .messages.bounds import Limits
from .messages.errors import ProtocolError
from .messages.fields import Fields
from .serving.metrics import metrics
from .serving.program import handler, serve
from .serving.request import Request
from .websocket.closing import WebSocketClosed
from .websocket.codec import Fragment
from .websocket.opening import WebSocketRefused, websocket
from .websocket.socket import WebSocket

__all__ = [
    "Client",
    "ConnectError",
    "Fields",
    "Fragment",
    "InvalidURL",
    "LifespanError",
    "Limits",
    "PoolLimits",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "RedirectError",
    "Request",
    "RequestError",
    "RequestTimeout",
    "Response",
    "ResponseError",
    "StatusError",
    "Timeouts",
    "Timings",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketRefused",
    "asgi",
    "directory",
    "forward_proxy",
    "handler",
    "metrics",
    "proxy",
    "request",
    "serve",
    "websocket",
    "wsgi",
]
