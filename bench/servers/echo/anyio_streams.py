"""AnyIO on asyncio or Trio, which the command line names: its TCP listener and byte streams."""

from __future__ import annotations

import sys

import anyio
from anyio.abc import SocketAttribute, SocketStream

from bench.servers import HOST


async def echo(stream: SocketStream) -> None:
    # The streams set TCP_NODELAY themselves.
    async with stream:
        try:
            async for data in stream:
                await stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


async def main() -> None:
    listener = await anyio.create_tcp_listener(local_host=HOST, local_port=0, backlog=4096)
    print("ready", listener.extra(SocketAttribute.local_port), flush=True)
    await listener.serve(echo)


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
