"""asyncio, callbacks: a Protocol on the default event loop, the fastest interface of asyncio."""

from __future__ import annotations

import asyncio

from bench.servers import HOST
from bench.servers.echo.asyncio_protocol import Echo
from bench.servers.tls import context


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, HOST, 0, backlog=4096, ssl=context())
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
