"""Trio: trio.socket, since Trio's streams are not for datagrams."""

from __future__ import annotations

import trio

from bench.servers import HOST


async def main() -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        print("ready", sock.getsockname()[1], flush=True)
        while True:
            data, address = await sock.recvfrom(65536)
            await sock.sendto(data, address)


if __name__ == "__main__":
    trio.run(main)
