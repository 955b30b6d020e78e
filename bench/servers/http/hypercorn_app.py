"""hypercorn on uvloop, with the one parser that it has."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from bench.servers import HOST
from bench.servers.http.asgi_app import app


async def main() -> None:
    listener = socket.create_server((HOST, 0), backlog=4096)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 4096
    config.loglevel = "WARNING"
    serving = asyncio.ensure_future(serve(cast("Any", app), config))
    await asyncio.sleep(0)
    with socket.socket(fileno=int(config.bind[0][len("fd://") :])) as same:
        print("ready", same.getsockname()[1], flush=True)
        await serving


if __name__ == "__main__":
    uvloop.run(main())
