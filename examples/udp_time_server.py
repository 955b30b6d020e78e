"""A time server over UDP: it answers the datagram "time" with the time.

Shows a datagram socket and two rules for public UDP servers. It answers nothing that could itself be an answer;
otherwise a forged sender address could make two such servers talk to each other forever. And it keeps running if it
cannot reach a sender.

    $ python examples/udp_time_server.py --port 7001
    listening on 127.0.0.1:7001
    $ echo time | nc -u -W 1 127.0.0.1 7001
    2026-01-31 12:00:00.000000+00:00
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import socket2


def serve(sock: socket2.UDP) -> Generator[Any, Any, None]:
    print("listening on", socket2.format_address(sock.local_address), flush=True)
    while True:
        request, sender = yield from sock.recvfrom(512)
        if request.strip() == b"time":
            answer = f"{datetime.now(UTC).isoformat(' ')}\n".encode()
            with suppress(OSError):  # unreachable, forbidden, port 0
                yield from sock.sendto(answer, sender)


class Options(argparse.Namespace):
    host: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell the time over UDP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7001, type=int, help="0: a free port")
    args = parser.parse_args(namespace=Options())
    with socket2.udp() as sock:
        try:
            sock.bind(args.host, args.port)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        with suppress(KeyboardInterrupt):
            socket2.run(serve, sock)


if __name__ == "__main__":
    main()
