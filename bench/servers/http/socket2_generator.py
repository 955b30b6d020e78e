"""socket2, threads as generators."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST
from socket2 import http


def hello(request: http.Request) -> Generator[Any, None, None]:
    yield from request.respond(200, "Hello, world!")


def ready(server: socket2.Server) -> None:
    print("ready", server.addresses[0][1], flush=True)


if __name__ == "__main__":
    http.serve(hello, f"{HOST}:0", backlog=4096, ready=ready)
