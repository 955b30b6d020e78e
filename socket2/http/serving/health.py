"""Paths that a server answers itself, such as that of its health.

Balancers ask there whether the server takes requests, and learn early that it is to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .request import Request


def with_health(answer: Callable[[Request], Any], path: str) -> Callable[[Request], Any]:
    """Return a handler that answers for one path itself, and leaves the others to `answer`.

    Raises ValueError if it is no path.
    """

    def respond(request: Request) -> Any:
        stopping = request.exchange.stopping
        if stopping is not None and stopping.is_set():
            return request.respond(503, "leaving\n")
        return request.respond(200, "ok\n")

    return at_path(path, "health", respond, answer)


def at_path(
    path: str, what: str, respond: Callable[[Request], Any], answer: Callable[[Request], Any]
) -> Callable[[Request], Any]:
    """Return a handler that uses `respond` for one path, and `answer` for all others. Raises ValueError."""
    if not path.startswith("/") or not path.isascii():
        raise ValueError(f"the {what} path begins with /, unlike {path!r}")

    def handle(request: Request) -> Any:
        if request.target.partition("?")[0] != path or request.method not in ("GET", "HEAD"):
            return answer(request)
        return respond(request)

    return handle
