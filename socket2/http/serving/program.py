"""http.serve(): a whole HTTP server in one call. And what makes any Server one that speaks HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from operator import index
from typing import TYPE_CHECKING, Any

from ...servers.program import serve as serve_connections
from ...servers.server import FIRST_REQUEST_S, GRACE_S
from ...servers.workers import serve_workers
from ...sockets.address import Host, Port
from ...sockets.paths import MODE, Owner, Unlink
from ...sockets.tcp import TCP
from ...streams.transport import AnyByteStream
from ...threads.coroutines import check_callable, name_of
from ...threads.loop import newthread, run, serve_threads
from ...threads.resolver import Resolver
from ...tls.arguments import HANDSHAKE_S
from ..messages.bounds import Limits
from .accesslog import AccessLog, LogFormat
from .conversation import Conversation
from .health import at_path, with_health
from .metrics import Reporting
from .metrics import metrics as respond_with_metrics
from .origin import USUAL, Trust
from .request import Request
from .tally import Tally

if TYPE_CHECKING:
    import ssl


def handler(
    answer: Callable[[Request], Any],
    *,
    limits: Limits | None = None,
    access_log: LogFormat | None = None,
    trusted: Sequence[Any] = (),
    trusted_fields: Iterable[str] = USUAL,
    health: str | None = None,
    metrics: str | bool = False,
) -> Callable[[AnyByteStream], Generator[Any, None, None]]:
    """Make a handler of connections of a handler of requests: `socket2.serve(http.handler(hello), "localhost:8000")`.

    `answer(request)` is called for each request, in the thread of its connection. It may be a generator function, an
    `async def` function or a plain function. `limits`: what clients may send, and how long they may take. `access_log`:
    "common", "combined" or "json": log each answer to "socket2.http.access" (INFO) in this format; None: do not.

    `trusted`: addresses and networks of proxies that say whom a request comes from; "unix" for peers at a UNIX path.
    `trusted_fields`: where they say it. Name only fields that they write or remove themselves: X-Forwarded-For, and
    also X-Forwarded-Proto and X-Forwarded-Host; or only Forwarded. Then the `client`, `scheme` and `host` of a request
    are what the outermost trusted proxy has seen.

    `health`: a path that is answered in place of `answer`: with 200, or with 503 as soon as the server is to stop.

    `metrics`: a path that is answered with figures about this process, as OpenMetrics text: its servers, loops and TLS,
    and what `answer` has answered. Every client can see them. True only counts, for socket2.metrics.text() and for
    http.metrics, a handler that you serve elsewhere.

    An error in `answer` is logged to "socket2.http.server" with a traceback (ERROR). The client gets 500, or if the
    answer has begun, the connection is closed so that the client sees that it is not complete. What a client does wrong
    is logged in one line (INFO). The result takes a connection of any kind, and can be the handler of a Server.

    Raises TypeError if `answer` is not callable, ValueError if there is no such format, network or field.
    """
    check_callable(answer)
    name = name_of(answer)
    lifespan = getattr(answer, "lifespan", None)
    if health is not None:
        answer = with_health(answer, health)
    bounds = limits or Limits()
    notes: tuple[AccessLog | Tally, ...] = (AccessLog(access_log),) if access_log is not None else ()
    if metrics is not False:
        notes += (Tally(name or "http"),)
    if isinstance(metrics, str):
        answer = at_path(metrics, "metrics", respond_with_metrics, answer)
    trust = Trust(trusted, trusted_fields) if trusted else None

    def converse(conn: AnyByteStream) -> Generator[Any, None, None]:
        return Conversation(conn, answer, bounds, notes, trust).run()

    converse.__qualname__ = name or "http"
    converse.lifespan = lifespan  # type: ignore[attr-defined]
    return converse


def serve(
    answer: Callable[[Request], Any],
    host: Host = None,
    port: Port = None,
    *,
    limits: Limits | None = None,
    access_log: LogFormat | None = None,
    trusted: Sequence[Any] = (),
    trusted_fields: Iterable[str] = USUAL,
    health: str | None = None,
    metrics: str | bool = False,
    metrics_at: Host = None,
    workers: int | None = None,
    members: int | None = None,
    listeners: Sequence[TCP | socket.socket] = (),
    backlog: int | None = None,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    max_connections: int | None = None,
    first_request_s: float = FIRST_REQUEST_S,
    tls: ssl.SSLContext | None = None,
    handshake_s: float | None = HANDSHAKE_S,
    max_handshakes: int | None = None,
    proxy_protocol: Sequence[Any] | None = None,
    reload: Callable[[], Any] | None = None,
    reload_signals: Iterable[int] | None = None,
    grace_s: float = GRACE_S,
    drain_s: float = 0.0,
    ready: Callable[[Any], Any] | None = None,
    resolver: Resolver | None = None,
) -> int:
    """Serve HTTP until SIGTERM or SIGINT arrives, then stop gracefully; return how many connections were cut off.

    `answer`, `limits`, `access_log`, `trusted`, `trusted_fields`, `health`, `metrics`: as in handler(). `workers`: how
    many processes serve, as in serve_workers(); None: only this one. `members`: how many OS threads of this process
    serve, as in serve_threads(); None: one. Give one of the two. All other arguments: as in socket2.serve(), or as in
    serve_workers() with `workers`.

    `metrics_at`: a place as `host`, "127.0.0.1:9100". Then the figures are there, for those who can reach it, at every
    path. With `workers`, whichever worker is asked answers for all: its figures have the label `worker`.

    Call this instead of run(). In a loop of your own, use socket2.serve() or a Server, with handler(). While the server
    stops, it finishes the requests that have begun, says `Connection: close` in their answers, and closes the
    connections that wait for a request.

    Raises ValueError if `members` is less than 1, or both are given; otherwise as socket2.serve() and serve_workers().
    """
    connections = handler(
        answer,
        limits=limits,
        access_log=access_log,
        trusted=trusted,
        trusted_fields=trusted_fields,
        health=health,
        metrics=metrics or metrics_at is not None,
    )
    options: dict[str, Any] = {
        "listeners": listeners,
        "backlog": backlog,
        "mode": mode,
        "owner": owner,
        "unlink": unlink,
        "max_connections": max_connections,
        "first_request_s": first_request_s,
        "tls": tls,
        "handshake_s": handshake_s,
        "max_handshakes": max_handshakes,
        "proxy_protocol": proxy_protocol,
        "reload": reload,
        "reload_signals": reload_signals,
        "grace_s": grace_s,
        "drain_s": drain_s,
        "ready": ready,
    }
    members = 1 if members is None else index(members)
    if members < 1 or (members > 1 and workers is not None):
        raise ValueError(f"members must be at least 1, and 1 with workers, not {members!r}")

    def work() -> int:
        if workers is not None:
            return serve_workers(connections, host, port, workers=workers, resolver=resolver, **options)
        if members == 1:
            return run(main, resolver=resolver)
        return _run_together(main, members, resolver)

    def main() -> Generator[Any, None, int]:
        return (yield from serve_connections(connections, host, port, **options))

    if not metrics and metrics_at is None:
        return work()
    lifespan = getattr(connections, "lifespan", None)
    reporting = Reporting(handler(respond_with_metrics), metrics_at, workers, lifespan, resolver)
    with closing(reporting):
        connections.lifespan = reporting  # type: ignore[attr-defined]
        return work()


def _run_together(main: Callable[[], Generator[Any, None, int]], members: int, resolver: Resolver | None) -> int:
    """Run a thread in several OS threads. Return its result, or raise its error."""
    ended: list[int | BaseException] = []

    def noted() -> Generator[Any, None, None]:
        try:
            ended.append((yield from main()))
        except BaseException as error:
            ended.append(error)

    newthread(noted)
    serve_threads(members, resolver=resolver)
    if not ended:
        return 0
    result = ended.pop()
    if isinstance(result, BaseException):
        raise result
    return result
