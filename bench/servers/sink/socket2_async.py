"""socket2, threads as coroutines."""

from __future__ import annotations

import socket

import socket2
from bench.servers import HOST


async def sink(conn: socket2.TCP) -> None:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(262144)
    with conn:
        while await conn.recv_into(buffer):
            pass


async def main() -> None:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = await listener.accept()
        socket2.newthread(sink, conn)


if __name__ == "__main__":
    socket2.run(main)
