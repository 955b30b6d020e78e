"""An echo server: it sends back everything that a client sends. Threads are generators.

Shows one thread for each connection, started by the thread that accepts. An error on a connection ends only that
connection.

    $ python examples/echo_server.py --port 7000
    listening on 127.0.0.1:7000
    $ nc 127.0.0.1 7000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import socket2


def echo(conn: socket2.TCP) -> Generator[Any, Any, None]:
    with conn, suppress(OSError):  # reset, timed out, unreachable: the connection has ended
        while data := (yield from conn.recv(65536)):
            yield from conn.sendall(data)


def serve(listener: socket2.TCP) -> Generator[Any, Any, None]:
    print("listening on", socket2.format_address(listener.local_address), flush=True)
    while True:
        conn = yield from listener.accept()
        socket2.newthread(echo, conn)


class Options(argparse.Namespace):
    host: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Send back what is received.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7000, type=int, help="0: a free port")
    args = parser.parse_args(namespace=Options())
    with socket2.tcp() as listener:
        try:
            listener.listen(args.host, args.port)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        with suppress(KeyboardInterrupt):
            socket2.run(serve, listener)


if __name__ == "__main__":
    main()
