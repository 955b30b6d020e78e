"""aiohttp: `aiohttp_app asyncio|uvloop`."""

from __future__ import annotations

from aiohttp import WSMsgType, web

from bench.servers.http.aiohttp_app import serve
from bench.servers.loops import run


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        if message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


if __name__ == "__main__":
    run(serve(echo))
