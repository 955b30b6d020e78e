"""The server of the handler that asks, and what a balancer said of its connection."""

from __future__ import annotations

from typing import cast

from .connection import current_connection
from .proxyheader import ProxyHeader
from .server import Server


def current_server() -> Server:
    """Return the server whose handler runs in this thread, or in a thread that the handler has started.

    A handler with a connection that lasts uses it to learn of a stop: `yield from current_server().stopping.wait()`.
    Raises RuntimeError in other threads.
    """
    connection = current_connection.get()
    if connection is None:
        raise RuntimeError("this works only in a handler of a server, and in threads that a handler has started")
    return cast(Server, connection.server)


def proxy_header() -> ProxyHeader | None:
    """Return what the balancer said of this thread's connection, with `proxy_protocol`; otherwise None.

    Works in a handler of a server, and in threads that it has started.
    """
    connection = current_connection.get()
    return None if connection is None else connection.header
