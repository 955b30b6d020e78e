"""socket2, threads as coroutines."""

from __future__ import annotations

import sys

import socket2
from bench.servers import HOST


async def echo(conn: socket2.TLS) -> None:
    with conn:
        try:
            while data := await conn.recv(65536):
                await conn.sendall(data)
            await conn.finish()
        except OSError:  # a client may reset, and a handshake may fail
            pass


async def main() -> None:
    listener = socket2.listen(HOST, 0, tls=socket2.server_context(sys.argv[1]))
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = await listener.accept()
        socket2.newthread(echo, conn)


if __name__ == "__main__":
    socket2.run(main)
