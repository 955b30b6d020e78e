"""What a redirect makes of a request: its method, its body, and what the next server must not learn. RFC 9110, 15.4."""

from __future__ import annotations

from dataclasses import replace

from ..messages.fields import Fields
from .body import Body
from .failures import InvalidURL, RedirectError
from .request import Request
from .response import Response
from .url import URL

_OF_BODY = ("content-type", "content-length", "content-encoding", "content-language", "content-location", "expect")
_OF_ORIGIN = ("authorization", "proxy-authorization", "cookie", "host", "referer", "origin")


def redirected(request: Request, response: Response) -> Request | None:
    """Return the request that a redirect asks for, None if the response is none. Raises RedirectError."""
    if not response.is_redirect:
        return None
    url = _target(request, response)
    method, body = request.method, request.body
    fields = request.fields.copy()
    becomes_get = response.status == 303 and method not in ("GET", "HEAD")
    if becomes_get or (response.status in (301, 302) and method == "POST"):
        method, body = "GET", Body(None)
        _remove(fields, _OF_BODY)
    elif not body.can_be_sent:
        raise RedirectError(
            "the redirect needs the body again, which was sent from a stream", request.method, request.shown
        )
    if url.origin != request.url.origin:
        _remove(fields, _OF_ORIGIN)
    return replace(request, method=method, url=url, fields=fields, body=body)


def _target(request: Request, response: Response) -> URL:
    location = response.headers["location"]
    try:
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        pass  # it has letters of Latin-1
    try:
        url = request.url.join(location)
    except InvalidURL as error:
        raise RedirectError(f"the redirect leads to no URL: {error}", request.method, request.shown) from error
    if request.url.is_secure and not url.is_secure and not request.may_downgrade:
        raise RedirectError(f"the redirect leads from https to {url}", request.method, request.shown)
    return url


def _remove(fields: Fields, names: tuple[str, ...]) -> None:
    for name in names:
        if name in fields:
            del fields[name]
