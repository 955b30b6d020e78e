"""An echo server: clients that are silent for too long are closed, and a signal stops it gracefully."""

import sys

import socket2

IDLE_S = float(sys.argv[2])
GRACE_S = 3


async def echo(conn: socket2.TCP) -> None:
    conn.settimeout(IDLE_S)
    while data := await conn.recv(65536):
        await conn.sendall(data)


def ready(server: socket2.Server) -> None:
    print("listening on", server.addresses[0][1], flush=True)


cut = socket2.run(lambda: socket2.serve(echo, "127.0.0.1", sys.argv[1], grace_s=GRACE_S, ready=ready))
print("cut off:", cut)
