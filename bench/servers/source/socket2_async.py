"""socket2, threads as coroutines."""

from __future__ import annotations

import socket

import socket2
from bench.servers import HOST
from bench.servers.source import BLOCK


async def source(conn: socket2.TCP) -> None:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with conn:
        for _ in range(int.from_bytes(await conn.recv(8))):
            await conn.sendall(BLOCK)


async def main() -> None:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = await listener.accept()
        socket2.newthread(source, conn)


if __name__ == "__main__":
    socket2.run(main)
