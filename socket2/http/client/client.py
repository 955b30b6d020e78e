"""Sends requests and returns responses: over connections that are kept, with redirects, retries and cookies."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Operation, operation

from ...sockets.socket import place_of
from ...threads.loop import now
from ...threads.scope import timeout
from ...threads.sleeping import sleep
from ...threads.timers import duration
from ...version import __version__
from ..messages.bounds import Limits
from ..messages.fields import Fields, Given
from ..messages.outgoing import Written
from .body import Content, body_of
from .cookies import keep_cookies, new_jar
from .decoding import accepted
from .dialing import Dialer
from .failures import RedirectError, RequestError, RequestTimeout
from .pool import Pool, PoolLimits
from .proxies import Choice, Proxies
from .redirects import redirected
from .request import Login, Request, Timeouts, authorization, checked_fields, checked_method
from .response import Response
from .roundtrip import Means, RoundTrip
from .url import Query, parse_url

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar
    from typing import Self

REDIRECTS = 10
_DRAIN_MAX = 1 << 16  # of the body of a redirect
_LIMITS = Limits(head_bytes=64 * 1024, head_fields=256, body_bytes=None)
_FIRST_DELAY_S = 0.1  # before a retry; each further one waits twice as long
_KEEPS_NONE = PoolLimits(idle=0)


class Client(pollers.Unique):
    """Sends requests, and keeps connections, cookies and settings for the next ones.

    Use it as a block: `with http.Client() as client:`, or call close(). Any thread of its loop may use it, and many at
    the same time. All arguments can be left out.

    `headers`: fields of every request; those of the request itself replace them. `auth`: a user and a password for the
    Basic scheme. It is sent to every server that a request names, but not to one that a redirect leads to.

    `timeouts`: see Timeouts. `pool`: how many connections there may be, see PoolLimits. `redirects`: how many to follow
    for one request; 0 returns them like other responses. A redirect to another origin gets no Authorization and no
    Cookie that was given for the first one. One from https to http is an error unless `allow_downgrade`. `retries`: how
    often to try again if a connection cannot be made, or breaks before the response, and the request may be sent twice:
    its method is idempotent, or nothing of it was sent. A kept connection that turns out to have ended is replaced once
    in any case, under the same conditions.

    `cookies`: whether to keep cookies; or an http.cookiejar.CookieJar to use. `decompress`: whether to ask for
    compressed bodies, and decode them. `proxy`: the URL of a proxy with the scheme http, https or socks5, or a dict
    with one for each of "http" and "https". SOCKS5 proxies look the names up. `trust_env`: whether to use the proxies
    in the environment, such as HTTPS_PROXY and NO_PROXY. `unix`: a path of a UNIX socket to connect to in place of the
    host in the URL. `tls`: a context such as client_context() makes. `limits`: for heads and chunks of responses.
    `continue_s`: how long to wait for 100 (Continue) if a request has the field Expect: 100-continue.

    Raises TypeError, ValueError and InvalidURL for wrong arguments.
    """

    __slots__ = (
        "_fields",
        "_may_downgrade",
        "_means",
        "_redirects",
        "_retries",
        "_timeouts",
    )

    def __init__(
        self,
        *,
        headers: Given | None = None,
        auth: Login | None = None,
        timeouts: Timeouts | None = None,
        pool: PoolLimits | None = None,
        redirects: int = REDIRECTS,
        allow_downgrade: bool = False,
        retries: int = 0,
        cookies: bool | CookieJar = True,
        decompress: bool = True,
        proxy: Proxies = None,
        trust_env: bool = False,
        unix: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        continue_s: float = 1.0,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        if unix is not None and (proxy or trust_env):
            raise ValueError("a client uses either a UNIX socket or proxies")
        self._means = Means(
            pool=Pool(pool or PoolLimits()),
            dialer=Dialer(tls, limits or _LIMITS, place_of(sys._getframe(1))),
            choice=Choice(proxy, trust_env),
            unix=None if unix is None else os.fspath(unix),
            cookies=new_jar() if cookies is True else None if cookies is False else cookies,
            decompress=decompress,
            continue_s=duration(continue_s),
        )
        self._fields = checked_fields({"user-agent": f"socket2/{__version__}", "accept": "*/*"}, headers)
        if (basic := authorization(auth)) is not None:
            self._fields["authorization"] = basic
        self._redirects = _count("redirects", redirects)
        self._may_downgrade = allow_downgrade
        self._retries = _count("retries", retries)

    @property
    def cookies(self) -> CookieJar | None:
        """The jar with the cookies, None if they are not kept."""
        return self._means.cookies

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Given | None = None,
        params: Query | None = None,
        body: Content = None,
        json: object = None,
        form: Query | None = None,
        length: int | None = None,
        auth: Login | None = None,
        timeouts: Timeouts | None = None,
        redirects: int | None = None,
    ) -> Operation[Response]:
        """Send a request and return the response when its head has come: `with (yield from ...) as response:`.

        `url`: http or https. What is not ASCII in it is encoded; a user and a password in it become the field
        Authorization. `params`: more for its query. `headers`: fields of this request. Host, Content-Length and the
        like need not be given.

        `body`: bytes, or str as UTF-8; or an iterable or `async for` iterable of bytes, or something with recv() or
        read(), such as a stream, a file or a Response. Then it is sent as it comes, in chunks unless `length` is given,
        while the response may already come. `json`: a value to send as JSON. `form`: names and values to send as HTML
        forms do.

        `auth`, `timeouts`, `redirects`: in place of those of the client.

        Raises RequestTimeout; ConnectError; ResponseError if the connection breaks or the response is not correct;
        RedirectError. All are RequestErrors, which are OSErrors. An error of the code that makes the body is raised as
        it is. After an error, a timeout or a cancellation, the connection is closed. The call raises InvalidURL,
        TypeError, ValueError for wrong arguments.
        """
        target = parse_url(url) if params is None else parse_url(url).with_query(params)
        content = body_of(body, json, form, length)
        fields = checked_fields(self._fields, headers)
        given = () if headers is None else Fields(headers)
        basic = authorization(auth) or (None if "authorization" in given else target.authorization)
        if basic is not None:
            fields["authorization"] = basic
        if self._means.decompress and "accept-encoding" not in fields and "range" not in fields:
            fields["accept-encoding"] = accepted()
        if content.content_type is not None and "content-type" not in fields:
            fields["content-type"] = content.content_type
        promised = Written(fields).length
        if promised is not None and content.length not in (None, promised):
            raise ValueError(f"the Content-Length is {promised}, but the body has {content.length} bytes")
        request = Request(
            method=checked_method(method),
            url=target,
            fields=fields,
            body=content,
            timeouts=timeouts or self._timeouts,
            redirects=self._redirects if redirects is None else _count("redirects", redirects),
            may_downgrade=self._may_downgrade,
        )
        return self._request(request)

    @operation
    def _request(self, request: Request) -> Generator[Any, None, Response]:
        total = request.timeouts.total
        if total is None:
            return (yield from self._follow(request, None))
        deadline = now() + total
        limit = timeout(total)
        try:
            with limit:
                return (yield from self._follow(request, deadline))
        except TimeoutError as error:
            if isinstance(error, RequestError):
                raise
            raise RequestTimeout(f"it took longer than {total:g} s", request.method, request.shown, "total") from None

    def _follow(self, request: Request, deadline: float | None) -> Generator[Any, None, Response]:
        history: list[Response] = []
        while True:
            response = yield from self._try(request, deadline)
            try:
                if self.cookies is not None:
                    keep_cookies(self.cookies, request.url, response.headers)
                further = redirected(request, response) if request.redirects else None
                if further is None:
                    response.history = history
                    return response
                if len(history) == request.redirects:
                    raise RedirectError(f"there are more than {len(history)} redirects", request.method, request.shown)
                yield from response.drain(_DRAIN_MAX)
            except BaseException:
                response.close()
                raise
            history.append(response)
            request = further

    def _try(self, request: Request, deadline: float | None) -> Generator[Any, None, Response]:
        """Send a request, and send it again if its connection fails and it may be sent again."""
        started_at = now()
        tries = 0
        fresh = False
        while True:
            trip = RoundTrip(self._means, request, started_at, deadline)
            try:
                return (yield from trip.make(fresh))
            except RequestError as error:
                again = trip.may_be_repeated(error)
                if again and trip.reused and not fresh:
                    fresh = True
                    continue
                if not again or tries == self._retries:
                    raise
            yield from sleep(_FIRST_DELAY_S * 2**tries)
            tries += 1

    def close(self) -> None:
        """Close the connections that are not in use; the others are closed when their responses are.

        Later requests raise RuntimeError, and so do requests that wait for a connection. A second call does nothing.
        """
        self._means.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client, {self._means.pool.used} connections used, {self._means.pool.idle} idle>"


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, at least 0, not {value!r}")
    return value


def request(
    method: str,
    url: str,
    *,
    headers: Given | None = None,
    params: Query | None = None,
    body: Content = None,
    json: object = None,
    form: Query | None = None,
    length: int | None = None,
    auth: Login | None = None,
    timeouts: Timeouts | None = None,
    redirects: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> Operation[Response]:
    """Send one request without a Client: `with (yield from http.request("GET", url)) as response:`.

    The connection is closed when the body was received, or at the end of the block. For several requests to one server,
    a Client is faster. `tls`: as for a Client. All else: as in Client.request().
    """
    client = Client(tls=tls, pool=_KEEPS_NONE)
    return client.request(
        method,
        url,
        headers=headers,
        params=params,
        body=body,
        json=json,
        form=form,
        length=length,
        auth=auth,
        timeouts=timeouts,
        redirects=redirects,
    )
