"""asyncio, streams: the echo server of asyncio's documentation, in a loop."""

from __future__ import annotations

import asyncio

from bench.servers import HOST
from bench.servers.echo.asyncio_streams import echo
from bench.servers.tls import context


async def main() -> None:
    server = await asyncio.start_server(echo, HOST, 0, backlog=4096, ssl=context())
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
