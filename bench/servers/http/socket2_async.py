"""socket2, threads as coroutines."""

from __future__ import annotations

from bench.servers import HOST
from bench.servers.http.socket2_generator import ready
from socket2 import http


async def hello(request: http.Request) -> None:
    await request.respond(200, "Hello, world!")


if __name__ == "__main__":
    http.serve(hello, f"{HOST}:0", backlog=4096, ready=ready)
