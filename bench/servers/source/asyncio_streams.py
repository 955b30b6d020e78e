"""asyncio, streams: write and drain in a loop."""

from __future__ import annotations

import asyncio

from bench.servers import HOST
from bench.servers.source import BLOCK


async def source(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The transport sets TCP_NODELAY itself.
    for _ in range(int.from_bytes(await reader.readexactly(8))):
        writer.write(BLOCK)
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(source, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
