"""Trio: serve_tcp and its SocketStream, the interface that Trio's documentation recommends."""

from __future__ import annotations

import trio

from bench.servers import HOST
from bench.servers.source import BLOCK


async def source(stream: trio.SocketStream) -> None:
    # The stream sets TCP_NODELAY itself.
    async with stream:
        for _ in range(int.from_bytes(await stream.receive_some(8))):
            await stream.send_all(BLOCK)


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host=HOST, backlog=4096)
    print("ready", listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(source, listeners)


if __name__ == "__main__":
    trio.run(main)
