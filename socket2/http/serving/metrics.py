"""Metrics over HTTP: the answer, and the server that gives it at a place of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from pollers import operation

from ...servers.listeners import listen_before_forks, queries_of
from ...servers.program import Lifespan
from ...servers.server import Server
from ...sockets.address import Host
from ...sockets.paths import PathRules
from ...sockets.tcp import TCP
from ...streams.transport import AnyByteStream
from ...threads.loop import newthread
from ...threads.resolver import Resolver
from ...threads.thread import Thread
from .request import Request

if TYPE_CHECKING:
    from ...metrics.colleagues import Colleagues

_colleagues: Colleagues | None = None  # the workers of the server of this process, if it has any


def metrics(request: Request) -> Generator[Any, None, None]:
    """Answer a request with the figures about this process as OpenMetrics text: `http.serve(http.metrics, ":9100")`.

    In a worker of http.serve() with `metrics`, also with those of the other workers.
    """
    from ... import metrics as figures  # loads debugging, which most programs do not need

    text = figures.text() if _colleagues is None else (yield from _colleagues.figures()).text()
    yield from request.respond(200, text, {"content-type": figures.CONTENT_TYPE, "cache-control": "no-store"})


class Reporting:
    """What metrics need beside a server, from its start to its end. `inner`: what the handler needs itself.

    `place`: where they are to be, None for the server's own addresses. With `workers`, it listens now: they share the
    sockets. `resolver`: as in serve_workers(). Raises OSError.
    """

    def __init__(
        self,
        connections: Callable[[AnyByteStream], Any],
        place: Host,
        workers: int | None,
        inner: Lifespan | None,
        resolver: Resolver | None,
    ) -> None:
        global _colleagues
        self._place = place
        self._inner = inner
        self._listeners: list[TCP] = []
        self._connections = connections
        self._server: Server | None = None
        self._answering: Thread[None] | None = None
        if workers is None:
            return
        from ...metrics.colleagues import Colleagues

        _colleagues = Colleagues(workers)
        try:
            if place is not None:
                self._listeners = listen_before_forks(queries_of(place, None), None, False, PathRules(), resolver)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        global _colleagues
        for listener in self._listeners:
            listener.close()
        if _colleagues is not None:
            _colleagues.close()
            _colleagues = None

    @operation
    def startup(self) -> Generator[Any, None, None]:
        if _colleagues is not None:
            self._answering = newthread(_colleagues.answer, name="metrics")
        if self._place is not None:
            self._server = server = Server(self._connections)
            for listener in self._listeners:
                server.add(listener, shared=True)
            if not self._listeners:
                yield from server.listen(self._place)
        if self._inner is not None:
            yield from self._inner.startup()

    @operation
    def shutdown(self, grace_s: float) -> Generator[Any, None, None]:
        try:
            if self._inner is not None:
                yield from self._inner.shutdown(grace_s)
        finally:
            if self._answering is not None:
                self._answering.cancel()
            if self._server is not None:
                yield from self._server.stop(0)
