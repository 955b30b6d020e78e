"""socket2, threads as coroutines."""

from __future__ import annotations

import socket

import socket2
from bench.servers import HOST


async def echo(conn: socket2.TCP) -> None:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := await conn.recv(65536):
            await conn.sendall(data)
    except ConnectionError:
        pass
    finally:
        conn.close()


async def main() -> None:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = await listener.accept()
        socket2.newthread(echo, conn)


if __name__ == "__main__":
    socket2.run(main)
