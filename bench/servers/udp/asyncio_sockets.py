"""asyncio, sockets: loop.sock_recvfrom and loop.sock_sendto."""

from __future__ import annotations

import asyncio
import socket

from bench.servers import HOST


async def main() -> None:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((HOST, 0))
    print("ready", sock.getsockname()[1], flush=True)
    while True:
        data, address = await loop.sock_recvfrom(sock, 65536)
        await loop.sock_sendto(sock, data, address)


if __name__ == "__main__":
    asyncio.run(main())
