"""asyncio, streams: the echo server of asyncio's documentation, in a loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bench.servers import HOST


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The transport sets TCP_NODELAY itself.
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(echo, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
