"""TLS with Node's events: its module `tls`, on the sockets and servers of socket2.net.

This room knows Node's options and the order of its events. The TLS below it is that of socket2.tls, and the
cryptography that of the `ssl` module. It does not know how data waits or is sent: that is in `socket2.net`.

Read `socket` first: TLSSocket, on `terms`, which is what a connection offers and requires, and `peer`, which is what it
finds out. `handle` is what the sides of a socket see of TLS. `client` has connect(), `server` has Server. `credentials`
makes contexts, `keylog` shows their secrets. `verdict`, `identity` and `certificates` are about certificates.
`arguments` and `failures` hold Node's spellings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .client import connect
from .credentials import DEFAULT_MAX_VERSION, DEFAULT_MIN_VERSION, SecureContext, createSecureContext
from .identity import checkServerIdentity
from .server import Server
from .socket import TLSSocket

__all__ = [
    "DEFAULT_MAX_VERSION",
    "DEFAULT_MIN_VERSION",
    "SecureContext",
    "Server",
    "TLSSocket",
    "checkServerIdentity",
    "connect",
    "createSecureContext",
    "createServer",
]


def createServer(options: Any = None, listener: Callable[..., Any] | None = None, **named: Any) -> Server:
    """Make a Server: createServer([options][, listener of 'secureConnection']). See Server for the options."""
    return Server(options, listener, **named)
