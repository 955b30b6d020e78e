"""Makes a connection for a request: directly, through a proxy or to a UNIX path, with TLS over it for https."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...sockets.endpoint import connect_from
from ...sockets.eyeballs import DELAY_S
from ...sockets.tcp import TCP
from ...threads.loop import now
from ...threads.scope import timeout
from ...tls.contexts import default_client_context
from ...tls.layer import TLS
from ..messages.bounds import Limits
from .connection import Connection, Key, Timings
from .proxies import Proxy, tunnel
from .socks5 import socks5
from .url import URL

if TYPE_CHECKING:
    import ssl

_ALPN = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the server of a URL. `unix`: a path to use in place of the URL's host.

    `tunnels`: a proxy only makes the connection, although it could forward the request.
    """

    url: URL
    proxy: Proxy | None = None
    unix: str | None = None
    tunnels: bool = False

    @property
    def is_forwarded(self) -> bool:
        return self.proxy is not None and not self.tunnels and self.proxy.forwards(self.url)

    @property
    def key(self) -> Key:
        if self.is_forwarded:
            return "forwarded", self.proxy
        return (*self.url.origin, self.proxy, self.unix)


class Dialer:
    """Makes connections. `made_at`: the place that a ResourceWarning names."""

    __slots__ = ("_limits", "_made_at", "_tls")

    def __init__(self, tls: ssl.SSLContext | None, limits: Limits, made_at: str) -> None:
        self._tls = tls
        self._limits = limits
        self._made_at = made_at

    def dial(
        self, route: Route, connect_s: float | None, timings: Timings, started_at: float
    ) -> Generator[Any, None, Connection]:
        """Return a new connection. A cancellation leaves nothing. Raises ProxyError, OSError, TimeoutError."""
        with timeout(connect_s):
            sock = yield from self._reach(route, timings, started_at)
            return Connection(route.key, sock, self._limits, route.is_forwarded)

    def _reach(self, route: Route, timings: Timings, started_at: float) -> Generator[Any, None, TCP | TLS]:
        url, proxy = route.url, route.proxy
        sock: TCP | TLS
        if route.unix is not None:
            sock = yield from self._connect(route.unix, None)
        elif proxy is not None:
            sock = yield from self._connect(proxy.url.host, proxy.url.port)
        else:
            sock = yield from self._connect(url.host, url.port)
        try:
            timings.connected = now() - started_at
            if proxy is not None:
                if proxy.url.is_secure:
                    sock = yield from secured(sock, self._tls, proxy.url.host)
                if proxy.is_socks:
                    yield from socks5(sock, url.host, url.port, proxy.login)
                elif not route.is_forwarded:
                    yield from tunnel(sock, url, proxy, self._limits)
            if url.is_secure:
                sock = yield from secured(sock, self._tls, url.host)
                timings.secured = now() - started_at
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect(self, where: str, port: int | None) -> Generator[Any, None, TCP]:
        return (yield from connect_from(self._made_at, where, port, "unix" if port is None else None, DELAY_S, {}))


def secured(sock: TCP | TLS, context: ssl.SSLContext | None, name: str) -> Generator[Any, None, TLS]:
    """Return TLS to the server `name` over `sock`, after the handshake. If that fails, `sock` is left to the caller."""
    context = context or default_client_context(_ALPN)
    conn = TLS(sock, context, server_hostname=name.partition("%")[0], handshake_s=None)
    yield from conn.handshake()
    return conn
