"""socket2: handlers block their OS thread. The argument is the number of OS threads; 0: a private scheduler."""

from __future__ import annotations

import socket
import sys
from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST
from bench.servers.blocking import MARK, block


def echo(conn: socket2.TCP) -> Generator[Any, Any, None]:
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := (yield from conn.recv(65536)):
            if data.startswith(MARK):
                block(data)
            yield from conn.sendall(data)
    except ConnectionError:
        pass
    finally:
        conn.close()


def main() -> Generator[Any, Any, None]:
    listener = socket2.tcp()
    listener.listen(HOST, 0)
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = yield from listener.accept()
        socket2.newthread(echo, conn)


if __name__ == "__main__":
    members = int(sys.argv[1])
    if members == 0:
        socket2.run(main)
    else:
        socket2.newthread(main)
        socket2.serve_threads(members)
