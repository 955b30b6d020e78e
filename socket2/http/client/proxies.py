"""Which proxy a request goes through, and how a connection is made through it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...sockets.tcp import TCP
from ...threads.coroutines import awaiting
from ...tls.layer import TLS
from ..messages.bounds import Limits
from ..messages.clientside import ClientSide
from ..messages.errors import ProtocolError
from ..messages.heads import ResponseHead
from ..messages.incoming import BLOCK
from .failures import InvalidURL, ProxyError
from .url import URL, credentials, parse_url

Proxies: TypeAlias = "str | Mapping[str, str | None] | None"

_SCHEMES = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. `login`: the user and password for SOCKS5; an HTTP proxy gets the URL's `authorization`."""

    url: URL
    login: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        return self.url.scheme.startswith("socks")

    @property
    def authorization(self) -> str | None:
        return self.url.authorization

    def forwards(self, url: URL) -> bool:
        """Whether the proxy gets the request itself, and not only a connection to make."""
        return not self.is_socks and not url.is_secure


def parse_proxy(text: str) -> Proxy:
    """Raises InvalidURL, TypeError."""
    url = parse_url(text, _SCHEMES)
    if url.target != "/":
        raise InvalidURL("the URL of a proxy has no path", "", str(url))
    userinfo = text.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return Proxy(url, credentials(userinfo) if userinfo else None)


class Choice:
    """The proxies of a client: one for all, or one for each scheme."""

    __slots__ = ("_by_scheme", "_trusts_environment")

    def __init__(self, given: Proxies, trust_env: bool) -> None:
        """Raises InvalidURL; ValueError if a scheme is none of a request; TypeError."""
        if isinstance(given, str):
            given = {"http": given, "https": given}
        given = given or {}
        if strange := given.keys() - {"http", "https"}:
            raise ValueError(f"proxies are given for http and https, not for {', '.join(map(repr, sorted(strange)))}")
        self._by_scheme = {scheme: None if text is None else parse_proxy(text) for scheme, text in given.items()}
        self._trusts_environment = trust_env

    def proxy_for(self, url: URL) -> Proxy | None:
        """Return the proxy for a request, None if there is none. Raises InvalidURL."""
        if url.scheme in self._by_scheme:
            return self._by_scheme[url.scheme]
        return _from_environment(url) if self._trusts_environment else None


def _from_environment(url: URL) -> Proxy | None:
    from urllib import request  # slow to load

    found = request.getproxies_environment()
    if "REQUEST_METHOD" in os.environ:
        found.pop("http", None)  # in a CGI program a client can set it: httpoxy
    text = found.get(url.scheme) or found.get("all")
    bypass: Callable[..., object] = request.proxy_bypass_environment  # type: ignore[attr-defined]
    if not text or bypass(url.host, found) or bypass(f"{url.host}:{url.port}", found):
        return None
    return parse_proxy(text if "://" in text else f"http://{text}")


def tunnel(sock: TCP | TLS, url: URL, proxy: Proxy, limits: Limits) -> Generator[Any, None, None]:
    """Ask an HTTP proxy for a connection to the host of `url`. Raises ProxyError, OSError."""
    side = ClientSide(limits)
    fields = [("host", url.host_and_port)]
    if proxy.authorization:
        fields.append(("proxy-authorization", proxy.authorization))
    head = side.head("CONNECT", url.host_and_port, fields) + side.end()
    yield from awaiting(sock.sendall(head))
    try:
        while True:
            event = side.next()
            if event is None:
                side.receive((yield from awaiting(sock.recv(BLOCK))))
            elif isinstance(event, ResponseHead) and event.status >= 200:
                break
    except ProtocolError as error:
        raise ProxyError(f"the answer of the proxy is malformed: {error}") from error
    if not event.status < 300:
        raise ProxyError(f"the proxy answers {event.status} {event.reason}".rstrip())
    if not side.incoming.empty:
        raise ProxyError("the proxy sends data before the connection has begun")
