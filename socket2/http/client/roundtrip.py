"""One attempt to send a request and get its response: a connection, kept or new, and what its failure means."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pollers

from ...threads.scope import timeout
from ..messages.errors import ProtocolError
from ..messages.fields import Fields
from .connection import Connection, Timings
from .cookies import cookie_field
from .dialing import Dialer, Route
from .exchange import Exchange
from .failures import ConnectError, ProxyError, RequestError, RequestTimeout, ResponseError, words
from .pool import Pool
from .proxies import Choice
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a client sends its requests with."""

    pool: Pool
    dialer: Dialer
    choice: Choice
    unix: str | None
    cookies: CookieJar | None
    decompress: bool
    continue_s: float


class RoundTrip(pollers.Unique):
    """`reused`: whether the request went to a connection that had been used before."""

    __slots__ = ("_deadline", "_exchange", "_means", "_request", "_route", "_started_at", "_timings", "reused")

    def __init__(self, means: Means, request: Request, started_at: float, deadline: float | None) -> None:
        self._means = means
        self._request = request
        self._started_at = started_at
        self._deadline = deadline
        # What a request says in Upgrade is for its next hop, and proxies forward no other protocol.
        tunnels = "upgrade" in request.fields
        self._route = Route(request.url, means.choice.proxy_for(request.url), means.unix, tunnels)
        self._timings = Timings()
        self._exchange: Exchange | None = None
        self.reused = False

    def make(self, fresh: bool) -> Generator[Any, None, Response]:
        """Return the response. `fresh`: use a new connection. Raises RequestError, and what makes the body raises."""
        request, means = self._request, self._means
        conn = yield from self._connection(fresh)
        exchange = Exchange(conn, request.body, self._timings, self._started_at, means.continue_s)
        self._exchange = exchange
        try:
            conn.settimeout(request.timeouts.read, request.timeouts.send)
            target = request.url.absolute if conn.via_proxy else request.url.target
            head = yield from exchange.begin(request.method, target, self._fields())
            return Response(
                request.method, request.shown, head, exchange, self._finished, self._deadline, means.decompress
            )
        except BaseException as error:
            exchange.close()
            means.pool.release(self._route.key, None)
            if error is exchange.body_error:
                raise
            explained = self._explained(error, exchange)
            if explained is error:
                raise
            raise explained from error

    def _connection(self, fresh: bool) -> Generator[Any, None, Connection]:
        """Return a connection from the pool that seems usable, or a new one. It must be released."""
        pool, key = self._means.pool, self._route.key
        while True:
            conn = yield from self._acquire(fresh)
            is_usable = False
            try:
                if conn is None:
                    timeouts = self._request.timeouts
                    conn = yield from self._means.dialer.dial(
                        self._route, timeouts.connect, self._timings, self._started_at
                    )
                    is_usable = True
                else:
                    is_usable = self.reused = yield from conn.is_usable()
            except (OSError, ValueError) as error:
                raise self._not_connected(error) from error
            finally:
                if not is_usable:
                    if conn is not None:
                        conn.close()
                    pool.release(key, None)
            if is_usable:
                return conn

    def _acquire(self, fresh: bool) -> Generator[Any, None, Connection | None]:
        try:
            with timeout(self._request.timeouts.pool):
                return (yield from self._means.pool.acquire(self._route.key, fresh))
        except TimeoutError:
            raise RequestTimeout(
                "the client has as many connections as it may have", self._request.method, self._request.shown, "pool"
            ) from None

    def _fields(self) -> Fields:
        request, proxy = self._request, self._route.proxy
        added = [] if "host" in request.fields else [("host", request.url.host_field)]
        if proxy is not None and self._route.is_forwarded and proxy.authorization:
            added.append(("proxy-authorization", proxy.authorization))
        if self._means.cookies is not None and "cookie" not in request.fields:
            value = cookie_field(self._means.cookies, request.url)
            if value:
                added.append(("cookie", value))
        fields = Fields(added)
        for name, given in request.fields.raw:
            fields.add(name, given)
        return fields

    def _finished(self, exchange: Exchange) -> None:
        """Give the connection of a response back, or close it if it cannot be used again."""
        conn: Connection | None = exchange.conn
        if exchange.upgraded:
            conn = None
        elif exchange.timings.sent is None or not exchange.conn.finish_exchange():
            exchange.close()
            conn = None
        self._means.pool.release(self._route.key, conn)

    # Failures.

    def _not_connected(self, error: Exception) -> RequestError:
        about = self._request.method, self._request.shown
        if isinstance(error, TimeoutError):
            return RequestTimeout("no connection could be made in time", *about, "connect")
        kind = ProxyError if isinstance(error, ProxyError) else ConnectError
        return kind(words(error), *about)

    def _explained(self, error: BaseException, exchange: Exchange) -> BaseException:
        about = self._request.method, self._request.shown
        if isinstance(error, TimeoutError):
            if exchange.was_slow:
                return RequestTimeout("the server does not take the request", *about, "send")
            return RequestTimeout("the server does not answer", *about, "read")
        if isinstance(error, ProtocolError):
            return ResponseError(error.reason, *about)
        if isinstance(error, OSError):
            return ResponseError(f"the connection broke before a response: {words(error)}", *about)
        return error

    def may_be_repeated(self, error: RequestError) -> bool:
        """Whether the request can be sent again after this error without the danger of doing something twice."""
        if isinstance(error, ConnectError) or (isinstance(error, RequestTimeout) and error.phase == "connect"):
            return not _is_for_good(error.__cause__)
        exchange, request = self._exchange, self._request
        return (
            isinstance(error, ResponseError)
            and exchange is not None
            and not exchange.answered
            and (request.is_idempotent or not exchange.sent_bytes)
            and request.body.can_be_sent
        )


def _is_for_good(cause: BaseException | None) -> bool:
    """Whether a further connection would fail for the same reason."""
    import ssl

    return isinstance(cause, (ssl.SSLError, ValueError, ProxyError))
