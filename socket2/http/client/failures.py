"""What goes wrong with a request. Each error says which request it was, without passwords."""

from __future__ import annotations

from typing import Any


class RequestError(OSError):
    """A request has failed. All errors of the client are of this class.

    `method`, `url`: of the request; the URL has no password. `reason`: the message without them. `__cause__` is the
    error behind it, if there is one.
    """

    def __init__(self, reason: str, method: str = "", url: str = "") -> None:
        where = " ".join(filter(None, [method, url]))
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason = reason
        self.method = method
        self.url = url

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.method, self.url), self.__dict__


def words(error: BaseException) -> str:
    """Say in a few words what has failed."""
    if isinstance(error, RequestError):
        return error.reason
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class InvalidURL(RequestError, ValueError):
    """The text is not a URL that a request can have."""


class ConnectError(RequestError):
    """No connection could be made: the name is unknown, the server refuses, or its certificate is not trusted."""


class ProxyError(ConnectError):
    """The proxy does not make the connection."""


class RequestTimeout(RequestError, TimeoutError):
    """Something took too long. `phase`: "pool", "connect", "send", "read" or "total"."""

    def __init__(self, reason: str, method: str = "", url: str = "", phase: str = "") -> None:
        super().__init__(reason, method, url)
        self.phase = phase


class ResponseError(RequestError):
    """The connection broke before the response was complete, or the response is not correct HTTP."""


class RedirectError(RequestError):
    """A redirect cannot be followed: there are too many, or it leads where it must not."""
