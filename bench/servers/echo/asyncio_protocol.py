"""asyncio, callbacks: a Protocol on the default event loop, the fastest interface of asyncio."""

from __future__ import annotations

import asyncio
from typing import cast

from bench.servers import HOST


class Echo(asyncio.Protocol):
    """One connection; the transport sets TCP_NODELAY itself and survives resets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance(): uvloop's transports do not derive from that class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
