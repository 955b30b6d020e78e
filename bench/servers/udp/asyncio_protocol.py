"""asyncio, callbacks: a DatagramProtocol on the default event loop."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from bench.servers import HOST


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance(): uvloop's transports do not derive from that class.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        self.transport.sendto(data, address)


async def main() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, (HOST, 0))
    print("ready", transport.get_extra_info("sockname")[1], flush=True)
    await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main())
