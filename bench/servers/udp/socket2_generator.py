"""socket2, a thread as a generator."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import socket2
from bench.servers import HOST


def main() -> Generator[Any, Any, None]:
    sock = socket2.udp()
    sock.bind(HOST, 0)
    print("ready", sock.getsockname()[1], flush=True)
    while True:
        data, address = yield from sock.recvfrom(65536)
        yield from sock.sendto(data, address)


if __name__ == "__main__":
    socket2.run(main)
