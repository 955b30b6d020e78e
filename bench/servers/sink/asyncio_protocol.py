"""asyncio, callbacks: a BufferedProtocol, which receives into a buffer of its own, on the default event loop."""

from __future__ import annotations

import asyncio

from bench.servers import HOST


class Sink(asyncio.BufferedProtocol):
    """One connection; the transport sets TCP_NODELAY itself and closes after the client."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(262144))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        pass


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, HOST, 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
