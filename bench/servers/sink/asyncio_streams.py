"""asyncio, streams: StreamReader.read in a loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bench.servers import HOST


async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The transport sets TCP_NODELAY itself.
    with suppress(ConnectionError):
        while await reader.read(262144):
            pass
    writer.close()


async def main() -> None:
    # The limit is the size of the buffer behind read(). The default is a quarter of this.
    server = await asyncio.start_server(sink, HOST, 0, backlog=4096, limit=262144)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
