"""socket2, threads as generators."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST
from bench.servers.source import BLOCK


def source(conn: socket2.TCP) -> Generator[Any, Any, None]:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with conn:
        for _ in range(int.from_bytes((yield from conn.recv(8)))):
            yield from conn.sendall(BLOCK)


def main() -> Generator[Any, Any, None]:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = yield from listener.accept()
        socket2.newthread(source, conn)


if __name__ == "__main__":
    socket2.run(main)
