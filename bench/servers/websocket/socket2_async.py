"""socket2, threads as coroutines."""

from __future__ import annotations

from bench.servers import HOST
from bench.servers.http.socket2_generator import ready
from socket2 import http


async def echo(request: http.Request) -> None:
    ws = await request.websocket()
    async for message in ws:
        await ws.send(message)


if __name__ == "__main__":
    http.serve(echo, f"{HOST}:0", backlog=4096, ready=ready)
