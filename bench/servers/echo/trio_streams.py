"""Trio: serve_tcp and its SocketStream, the interface that Trio's documentation recommends."""

from __future__ import annotations

import trio

from bench.servers import HOST


async def echo(stream: trio.SocketStream) -> None:
    # The stream sets TCP_NODELAY itself.
    async with stream:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host=HOST, backlog=4096)
    print("ready", listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(echo, listeners)


if __name__ == "__main__":
    trio.run(main)
