"""A server of several processes. It can stop, or replace a worker, without losing a request.

All workers accept on the same port, and the kernel distributes the connections. A worker greets each client with its
process ID and sends back each line in capitals. SIGTERM or Ctrl-C shuts the program down gracefully: it accepts no new
connections, answers the requests in progress, closes idle connections at once, and cuts off the rest after the grace
period. SIGTERM to a worker does the same for that worker, while a new worker takes over its listener, so no client
notices. A new worker also replaces a worker that dies. If systemd passes a listening socket (socket activation), it is
used.

    $ python examples/worker_server.py --port 7000 --workers 4
    listening on 127.0.0.1:7000
    $ nc 127.0.0.1 7000
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from typing import Any

import socket2

WORK_S = 0.02  # the time that a request takes


def answer(conn: socket2.TCP) -> Generator[Any, Any, None]:
    yield from conn.sendall(b"worker %d\n" % os.getpid())
    rest = b""
    while True:
        with socket2.between_requests():
            data = yield from conn.recv(65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield from socket2.sleep(WORK_S)
            yield from conn.sendall(line.upper() + b"\n")


def announce(workers: socket2.Workers) -> None:
    print("listening on", socket2.format_address(workers.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    workers: int
    grace: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Send back lines in capitals, from several processes.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7000, type=int, help="0: a free port")
    parser.add_argument("--workers", default=2, type=int)
    parser.add_argument("--grace", default=10.0, type=float, metavar="SECONDS")
    args = parser.parse_args(namespace=Options())
    try:
        cut = socket2.serve_workers(
            answer,
            args.host,
            args.port,
            workers=args.workers,
            listeners=socket2.inherited_listeners(),
            grace_s=args.grace,
            ready=announce,
        )
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
    if cut:
        sys.exit(f"{cut} connections did not end in time")


if __name__ == "__main__":
    main()
