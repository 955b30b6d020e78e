"""Trio: recv_into of trio.socket. A SocketStream would make a bytes object for every receive."""

from __future__ import annotations

import trio

from bench.servers import HOST


async def sink(stream: trio.SocketStream) -> None:
    # The stream sets TCP_NODELAY itself.
    buffer = bytearray(262144)
    async with stream:
        while await stream.socket.recv_into(buffer):
            pass


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host=HOST, backlog=4096)
    print("ready", listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(sink, listeners)


if __name__ == "__main__":
    trio.run(main)
