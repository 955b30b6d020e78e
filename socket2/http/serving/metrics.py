"""Metrics over HTTP: the answer, and the server that gives it at a place of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from pollers import Operation, operation

from ...servers.listeners import listen_at, queries_of
from ...servers.program import Lifespan
from ...servers.server import Server
from ...sockets.address import Host
from ...sockets.paths import PathRules
from ...streams.transport import AnyByteStream
from ...threads.loop import newthread, run
from ...threads.thread import Thread
from .request import Request

_colleagues: Any = None  # the workers of the server of this process, if it has any


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
    sockets.
    """

    def __init__(
        self,
        connections: Callable[[AnyByteStream], Any],
        place: Host,
        workers: int | None,
        inner: Lifespan | None,
    ) -> None:
        global _colleagues
        self._place = place
        self._inner = inner
        self._listeners: list[socket.socket] = []
        self._connections = connections
        self._server: Server | None = None
        self._answering: Thread[None] | None = None
        if workers is None:
            return
        from ...metrics.colleagues import Colleagues

        if place is not None:
            self._listeners = run(_listening, place)
        _colleagues = Colleagues(workers)

    def close(self) -> None:
        global _colleagues
        for listener in self._listeners:
            if listener.family == getattr(socket, "AF_UNIX", None):
                with suppress(OSError):
                    os.unlink(listener.getsockname())
            listener.close()
        if _colleagues is not None:
            _colleagues.close()
            _colleagues = None

    def startup(self) -> Operation[None]:
        return self._startup()

    @operation
    def _startup(self) -> Generator[Any, None, None]:
        if _colleagues is not None:
            self._answering = newthread(_colleagues.answer, name="metrics")
        if self._place is not None:
            self._server = server = Server(self._connections)
            for listener in self._listeners:
                server.add(socket.socket(fileno=os.dup(listener.fileno())), shared=True)
            if not self._listeners:
                yield from server.listen(self._place)
        if self._inner is not None:
            yield from self._inner.startup()

    def shutdown(self, grace_s: float) -> Operation[None]:
        return self._shutdown(grace_s)

    @operation
    def _shutdown(self, grace_s: float) -> Generator[Any, None, None]:
        try:
            if self._inner is not None:
                yield from self._inner.shutdown(grace_s)
        finally:
            if self._answering is not None:
                self._answering.cancel()
            if self._server is not None:
                yield from self._server.stop(0)


def _listening(place: Host) -> Generator[Any, None, list[socket.socket]]:
    listeners = yield from listen_at(queries_of(place, None), None, False, True, PathRules())
    return [socket.socket(fileno=listener.detach()) for listener in listeners]
