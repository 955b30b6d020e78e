"""Servers and sockets as event emitters, as in Node, Ruff and Luvit. Times in this package are in milliseconds.

This room knows the order of Node's events. It uses sockets and threads only through their public names. This module
holds the public names and nothing else. The package needs pyee: `pip install socket2[net]`.

Read `emitter` first, then `connection`, which both sides of a socket share; `receiving`, `readable` and `piping`, the
reading side; `callbacks`, `limit` and `writable`, the writing side; `dialing`, `wishes`, `adoption`; and `socket` on
all of these. Then `opening`, `accepting` and `server`. `channel` and `cluster` involve other processes. `failures`,
`arguments`, `address`, `ip`, `encodings` and `abort` hold Node's spellings.
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
    """Make a Server: createServer([options][, listener of 'connection']). See Server for the options."""
    return Server(options, listener, **named)


def createConnection(*args: Any, **named: Any) -> Socket:
    """Make a Socket and connect it: createConnection(port[, host]), (path), or (options), then a 'connect' listener.

    `options`: those of Socket and of Socket.connect(). Raises as connect() does.
    """
    options, callback = connect_arguments(args, named, SOCKET_OPTIONS | CONNECT_OPTIONS)
    made = Socket({name: value for name, value in options.items() if name in SOCKET_OPTIONS})
    how = {name: value for name, value in options.items() if name in CONNECT_OPTIONS - SOCKET_OPTIONS}
    return made.connect(how, callback)


connect = createConnection
