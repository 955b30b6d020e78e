"""Curio: its sockets, as in the UDP echo server of its documentation."""

from __future__ import annotations

import curio
from curio import socket

from bench.servers import HOST


async def main() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    print("ready", sock.getsockname()[1], flush=True)
    while True:
        data, address = await sock.recvfrom(65536)
        await sock.sendto(data, address)


if __name__ == "__main__":
    curio.run(main)
