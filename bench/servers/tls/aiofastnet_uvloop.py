"""aiofastnet on uvloop, callbacks: its own transports and TLS, under the asyncio Protocol."""

from __future__ import annotations

import asyncio

import aiofastnet
import uvloop

from bench.servers import HOST
from bench.servers.echo.asyncio_protocol import Echo
from bench.servers.tls import context


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await aiofastnet.create_server(loop, Echo, HOST, 0, backlog=4096, ssl=context())
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
