"""A forward proxy for CONNECT: clients name a host and a port, and get a connection to it, if they may."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ...sockets.endpoint import connect_from
from ...sockets.eyeballs import DELAY_S
from ...streams.stream import stream
from ...threads.coroutines import awaiting, check_callable, is_coroutine
from ...threads.journal import Journal
from ...threads.scope import timeout
from ..client.failures import words
from ..serving.request import Request
from .relay import Relay

log = Journal("socket2.http.proxy")


def forward_proxy(
    allow: Callable[[Request, str, int], Any], *, connect_s: float | None = 10.0, idle_s: float | None = 3600.0
) -> Callable[[Request], Generator[Any, None, None]]:
    """Return a handler that connects clients to the hosts that they name with CONNECT: a forward proxy.

    `allow(request, host, port)` says whether this client may have a connection to that place. It may be a plain
    function, a generator function or an `async def` function. Whoever is allowed any host also reaches those that only
    this machine can reach, so allow what is needed, by name and port.

    The client gets 403 if it may not, 502 if no connection can be made, 504 if that takes longer than `connect_s`
    seconds, and 405 for requests without CONNECT. After that, bytes go both ways until both sides have ended, or have
    been silent for `idle_s` seconds.

    Raises TypeError if `allow` is not callable.
    """
    check_callable(allow)

    def answer(request: Request) -> Generator[Any, None, None]:
        if request.method != "CONNECT":
            yield from request.respond(405, "Method Not Allowed\n", {"allow": "CONNECT"})
            return
        host, _, port = request.target.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        verdict = allow(request, host, int(port))
        if is_coroutine(verdict):
            verdict = yield from awaiting(verdict)
        if verdict is not True:
            yield from request.respond(403, "Forbidden\n")
            return
        yield from _connect(request, host, int(port), connect_s, idle_s)

    return answer


def _connect(
    request: Request, host: str, port: int, connect_s: float | None, idle_s: float | None
) -> Generator[Any, None, None]:
    try:
        with timeout(connect_s):
            sock = yield from connect_from("a forward proxy", host, port, None, DELAY_S, {})
    except (OSError, ValueError, OverflowError) as error:
        log.info("%s: %s", request.target, words(error), about={"target": request.target})
        status = 504 if isinstance(error, TimeoutError) else 502
        yield from request.respond(status, "no connection could be made\n")
        return
    with sock:
        client = yield from request.upgrade()
        yield from Relay(client, stream(sock), idle_s).run()
