"""rloop, callbacks: the asyncio Protocol on rloop's event loop."""

from __future__ import annotations

import asyncio
import socket

import rloop

from bench.servers import HOST
from bench.servers.echo.asyncio_protocol import Echo


async def main() -> None:
    # rloop takes the descriptor, and does not listen any more when it is told so twice.
    listener = socket.create_server((HOST, 0), backlog=4096)
    port = listener.getsockname()[1]
    server = await asyncio.get_running_loop().create_server(Echo, sock=listener, backlog=4096)
    print("ready", port, flush=True)
    await asyncio.Event().wait()
    server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=rloop.new_event_loop) as runner:
        runner.run(main())
