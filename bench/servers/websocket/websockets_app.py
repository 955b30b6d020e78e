"""The package websockets: `websockets_app asyncio|uvloop`."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from bench.servers import HOST
from bench.servers.loops import run


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    async with serve(echo, HOST, 0, backlog=4096) as server:
        print("ready", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    run(main())
