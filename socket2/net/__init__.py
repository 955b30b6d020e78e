"""Servers and sockets as event emitters, as Node, Ruff and Luvit have them. Times are in milliseconds here.

This room knows in which order Node's events come. It uses sockets and threads by their public names only. Here are the
public names, and nothing else. Needs pyee: `pip install socket2[net]`.

Read `emitter`, then `connection`, what both sides of a socket share; `receiving` and `readable`, `callbacks`, `limit`
and `writable`, the sides; `dialing` and `socket`, which puts them together. Then `opening`, `accepting`, `server`; last
`channel` and `cluster`, other processes. `failures`, `arguments`, `address` are how Node spells things.
"""

from __future__ import annotations

try:
    import pyee as _pyee  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("socket2.net needs pyee for its events: pip install 'socket2[net]'") from error

from typing import Any

from .abort import AbortController, AbortError, AbortSignal
from .arguments import CONNECT_OPTIONS, SOCKET_OPTIONS, connect_arguments
from .channel import Channel
from .cluster import Cluster, joinCluster
from .emitter import Emitter
from .failures import AggregateError, RangeError
from .ip import BlockList, SocketAddress, isIP, isIPv4, isIPv6
from .server import Server
from .socket import Socket

__all__ = [
    "AbortController",
    "AbortError",
    "AbortSignal",
    "AggregateError",
    "BlockList",
    "Channel",
    "Cluster",
    "Emitter",
    "RangeError",
    "Server",
    "Socket",
    "SocketAddress",
    "Stream",
    "connect",
    "createConnection",
    "createServer",
    "isIP",
    "isIPv4",
    "isIPv6",
    "joinCluster",
]

Stream = Socket


def createServer(options: Any = None, listener: Any = None, **named: Any) -> Server:
    """Make a Server: createServer([options][, listener of 'connection']). See there for the options."""
    return Server(options, listener, **named)


def createConnection(*args: Any, **named: Any) -> Socket:
    """Make a Socket and connect it: createConnection(port[, host]), (path), or options, and a listener of 'connect'.

    Options are those of Socket and of its connect(). Raises as connect() does.
    """
    options, callback = connect_arguments(args, named, SOCKET_OPTIONS | CONNECT_OPTIONS)
    made = Socket({name: value for name, value in options.items() if name in SOCKET_OPTIONS})
    how = {name: value for name, value in options.items() if name in CONNECT_OPTIONS - SOCKET_OPTIONS}
    return made.connect(how, callback)


connect = createConnection
