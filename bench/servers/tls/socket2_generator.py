"""socket2, threads as generators."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST


def echo(conn: socket2.TLS) -> Generator[Any, Any, None]:
    with conn:
        try:
            while data := (yield from conn.recv(65536)):
                yield from conn.sendall(data)
            yield from conn.finish()
        except OSError:  # a client may reset, and a handshake may fail
            pass


def main() -> Generator[Any, Any, None]:
    listener = socket2.listen(HOST, 0, tls=socket2.server_context(sys.argv[1]))
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        conn = yield from listener.accept()
        socket2.newthread(echo, conn)


if __name__ == "__main__":
    socket2.run(main)
