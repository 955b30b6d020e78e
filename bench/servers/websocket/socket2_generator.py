"""socket2, threads as generators."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bench.servers import HOST
from bench.servers.http.socket2_generator import ready
from socket2 import http


def echo(request: http.Request) -> Generator[Any, None, None]:
    ws = yield from request.websocket()
    while (message := (yield from ws.recv())) is not None:
        yield from ws.send(message)


if __name__ == "__main__":
    http.serve(echo, f"{HOST}:0", backlog=4096, ready=ready)
