"""Connections from a balancer that speaks the PROXY protocol: each one's thread receives the header first.

After that, the connection's address is the client's. Only listed balancers may say so. This module does not know the
header's bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from ..sockets.tcp import TCP
from ..streams.transport import note_socket
from ..threads.coroutines import steps_of_call
from ..threads.lock import lock
from ..threads.scope import timeout
from .connection import before_requests, current_connection, name_of, peer_of
from .handshaking import Handshakes, Secured
from .networks import Networks
from .proxyheader import HeaderParser, MalformedHeader, ProxyHeader

if TYPE_CHECKING:
    import ssl


def layered(
    handler: Callable[[Any], Any],
    name: str,
    tls: ssl.SSLContext | None,
    handshake_s: float | None,
    max_handshakes: int | None,
    balancers: Sequence[Any] | None,
) -> tuple[Callable[[Any], Any], Handshakes | None]:
    """Return what handles a connection from its first byte: the PROXY header, then TLS, then `handler`.

    Return also what counts the handshakes; None without TLS.
    """
    counts = None
    if tls is not None:
        secured = Secured(handler, tls, handshake_s, max_handshakes)
        handler, counts = secured.serve, secured.counts
    return (handler if balancers is None else Proxied(handler, name, balancers, handshake_s).serve), counts


class Proxied:
    """Receives the header of each connection, and passes the connection to `handler`.

    `balancers`: from whom headers are taken. `header_s`: how long a header may take; None for any time.
    """

    __slots__ = ("_balancers", "_handler", "_header_s", "_name")

    def __init__(
        self, handler: Callable[[Any], Any], name: str, balancers: Sequence[Any], header_s: float | None
    ) -> None:
        self._handler = handler
        self._name = name
        self._balancers = Networks(balancers)
        self._header_s = header_s

    def serve(self, conn: TCP) -> Generator[Any, None, None]:
        """Be the thread of a connection."""
        connection = current_connection.get()
        try:
            with before_requests():
                header = yield from self._header(conn)
        except Exception as error:
            note_socket(error, conn)
            if connection is not None:
                with lock:
                    connection.server.refused += 1
            raise
        if header is None:
            return
        if connection is not None:
            connection.header = header
        if header.source is not None:
            conn._remote = header.source
            if connection is not None and connection.thread is not None:
                connection.thread.rename(name_of(self._name, conn))
        yield from steps_of_call(self._handler, (conn,))

    def _header(self, conn: TCP) -> Generator[Any, None, ProxyHeader | None]:
        """Return the header, None if the balancer has closed the connection without having sent anything."""
        if conn.remote_address not in self._balancers:
            raise _refusal(f"{peer_of(conn)} is not one of the balancers in proxy_protocol=")
        parser = HeaderParser()
        begun = False
        try:
            with timeout(self._header_s):
                while True:  # see threads/lock.py
                    if parser.header is not None:
                        break
                    piece = yield from conn.recv(parser.lacks)
                    if not piece:
                        if not begun:
                            return None
                        raise _refusal("the connection ended within its PROXY header")
                    begun = True
                    parser.add(piece)
        except MalformedHeader as error:
            raise _refusal(f"no PROXY header: {error}") from None
        except TimeoutError as error:
            error.args = (f"no PROXY header came within {self._header_s:g} s",)
            raise
        return parser.header


def _refusal(reason: str) -> ConnectionAbortedError:
    return ConnectionAbortedError(errno.ECONNABORTED, reason)
