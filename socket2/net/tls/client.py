"""connect(): a TLSSocket that connects."""

from __future__ import annotations

from typing import Any

from ..arguments import CONNECT_OPTIONS, SOCKET_OPTIONS
from .arguments import secure_connect_arguments, split
from .socket import TLSSocket
from .terms import Terms


def connect(*args: Any, **named: Any) -> TLSSocket:
    """Connect with TLS: connect(port[, host][, options]), (path[, options]) or (options), then a function.

    The function listens to 'secureConnect' once. Options: those of net.connect(), of createSecureContext() and of
    TLSSocket for a client; `socket`: make no new connection, but use that of a Socket. Raises as net.connect() and
    createSecureContext() do.
    """
    options, callback = secure_connect_arguments(args, named)
    below = options.pop("socket", None)
    own, rest = split(options, SOCKET_OPTIONS)
    to, how = split(rest, CONNECT_OPTIONS - SOCKET_OPTIONS)
    terms = Terms(how)
    terms.where = {**options}
    terms.host = options.get("host") or terms.host
    made = TLSSocket(below, terms, **own)
    if callback is not None:
        made.once("secureConnect", callback)
    if below is None:
        also = {name: value for name, value in own.items() if name in CONNECT_OPTIONS}
        made.connect({**to, **also})
    return made
