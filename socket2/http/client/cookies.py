"""Cookies between requests. The standard library's jar decides which are taken and sent; this adapts our messages."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any

from ..messages.fields import Fields
from .url import URL

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


def new_jar() -> CookieJar:
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # slow to load

    return CookieJar(DefaultCookiePolicy(rfc2965=False, rfc2109_as_netscape=True))


class _Answer:
    """A response as the jar sees it."""

    def __init__(self, fields: Fields) -> None:
        self._message = Message()
        for value in fields.get_all("set-cookie"):
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


def cookie_field(jar: CookieJar, url: URL) -> str | None:
    """Return the value of the Cookie field for a request, None if there are no cookies for it."""
    request = _request(url)
    jar.add_cookie_header(request)
    value: str | None = request.get_header("Cookie")
    return value


def keep_cookies(jar: CookieJar, url: URL, fields: Fields) -> None:
    """Put the cookies of a response into the jar."""
    if "set-cookie" in fields:
        jar.extract_cookies(_Answer(fields), _request(url))  # type: ignore[arg-type]


def _request(url: URL) -> Any:
    from urllib.request import Request

    return Request(url.absolute)
