"""asyncio, callbacks: a Protocol on the default event loop, which writes until the transport tells it to pause."""

from __future__ import annotations

import asyncio
from typing import cast

from bench.servers import HOST
from bench.servers.source import BLOCK


class Source(asyncio.Protocol):
    """One connection; the transport sets TCP_NODELAY itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance(): uvloop's transports do not derive from that class.
        self.transport = cast(asyncio.Transport, transport)
        self.left = 0
        self.paused = False

    def data_received(self, data: bytes) -> None:
        self.left = int.from_bytes(data)
        self.go_on()

    def go_on(self) -> None:
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(BLOCK)
        if not self.left:
            # Close later: close() inside resume_writing() makes asyncio (3.11) report the lost connection twice.
            asyncio.get_running_loop().call_soon(self.transport.close)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.go_on()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Source, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
