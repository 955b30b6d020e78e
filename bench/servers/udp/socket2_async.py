"""socket2, a thread as a coroutine."""

from __future__ import annotations

import socket2
from bench.servers import HOST


async def main() -> None:
    sock = socket2.udp()
    sock.bind(HOST, 0)
    print("ready", sock.getsockname()[1], flush=True)
    while True:
        data, address = await sock.recvfrom(65536)
        await sock.sendto(data, address)


if __name__ == "__main__":
    socket2.run(main)
