"""A throttled server: it sends a file to every client at a limited speed. It uses LuaSocket's API.

Shows throttling with statistics: the number of bytes sent, and the time this took, determine how long to wait before
the next block. The counters are reset for each block, so a client that was slow for a while gets no burst afterwards.

    $ python examples/throttled_server.py --port 7007 --rate 20000 README.md
    listening on 127.0.0.1:7007
    $ time nc -d 127.0.0.1 7007 > copy
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import socket2
from socket2 import luasocket as socket

BLOCK = 4096


def send(client: socket.TCP, path: Path, rate: float) -> Generator[Any, Any, None]:
    """Send the file at `rate` bytes per second."""
    with client, path.open("rb") as file:
        while block := file.read(BLOCK):
            client.setstats(sent=0, age=0)
            last, err, _ = yield from client.send(block)
            if last is None:
                print(f"client lost: {err}", file=sys.stderr)
                return
            _, sent, age = client.getstats()
            yield from socket.sleep(sent / rate - age)


def serve(server: socket.TCP, path: Path, rate: float) -> Generator[Any, Any, None]:
    print("listening on {}:{}".format(*server.getsockname()), flush=True)
    while True:
        client, err = yield from server.accept()
        if client is None:
            raise OSError(err)
        socket2.newthread(send, client, path, rate)


class Options(argparse.Namespace):
    host: str
    port: int
    rate: float
    file: Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a file to every client at a limited speed.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7007, type=int, help="0: a free port")
    parser.add_argument("--rate", default=10_000, type=float, help="bytes per second for each client")
    parser.add_argument("file", type=Path)
    args = parser.parse_args(namespace=Options())
    if not args.rate > 0:
        parser.error("--rate must be more than 0 bytes per second")
    if not args.file.is_file():
        parser.error(f"there is no file {args.file}")
    try:
        server, err = socket.bind(args.host, args.port)
    except OverflowError as error:
        server, err = None, str(error)
    if server is None:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {err}")
    with server, suppress(KeyboardInterrupt):
        socket2.run(serve, server, args.file, args.rate)


if __name__ == "__main__":
    main()
