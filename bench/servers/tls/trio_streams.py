"""Trio: serve_listeners and its SSLStream, the interface that Trio's documentation recommends."""

from __future__ import annotations

import trio

from bench.servers import HOST
from bench.servers.tls import context


async def echo(stream: trio.SSLStream[trio.SocketStream]) -> None:
    # The stream below sets TCP_NODELAY itself.
    try:
        async with stream:
            async for data in stream:
                await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host=HOST, backlog=4096)
    print("ready", listeners[0].socket.getsockname()[1], flush=True)
    made = context()
    await trio.serve_listeners(echo, [trio.SSLListener(listener, made) for listener in listeners])


if __name__ == "__main__":
    trio.run(main)
