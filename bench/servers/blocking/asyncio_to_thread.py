"""asyncio, streams: blocking calls run in the loop's thread pool."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bench.servers import HOST
from bench.servers.blocking import MARK, block


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The transport sets TCP_NODELAY itself.
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            if data.startswith(MARK):
                await asyncio.to_thread(block, data)
            writer.write(data)
            await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(echo, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
