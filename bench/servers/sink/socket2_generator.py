"""socket2, threads as generators."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST


def sink(conn: socket2.TCP) -> Generator[Any, Any, None]:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(262144)
    with conn:
        while (yield from conn.recv_into(buffer)):
            pass


def main() -> Generator[Any, Any, None]:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = yield from listener.accept()
        socket2.newthread(sink, conn)


if __name__ == "__main__":
    socket2.run(main)
