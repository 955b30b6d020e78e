"""A port scanner: it finds the open TCP ports of a host. Scan only your own hosts.

Shows many connects at once, each with a timeout, and a limit on their number: `--limit` threads take ports from one
iterator until it is empty.

    $ python examples/port_scanner.py 127.0.0.1 --ports 1-1024
    22
    1024 ports: 1 open, 1023 Connection refused
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

import socket2

OPEN = "open"


async def probe(host: str, port: int, timeout_s: float) -> str:
    """Return OPEN, or the reason why the port is not open."""
    try:
        with socket2.tcp() as sock:
            sock.settimeout(timeout_s)
            await sock.connect(host, port)
            # On this machine, a connect to a closed port can reach itself if the system picks the same local port.
            return OPEN if sock.local_address != sock.remote_address else "Connection refused"
    except OSError as error:
        return error.strerror or str(error)


async def scan(host: str, ports: range, timeout_s: float, limit: int) -> dict[int, str]:
    """Probe all ports, `limit` at a time. Return the result for each port."""
    found: dict[int, str] = {}

    async def work(left: Iterator[int]) -> None:
        for port in left:
            found[port] = await probe(host, port, timeout_s)

    left = iter(ports)
    for worker in [socket2.newthread(work, left) for _ in range(min(limit, len(ports)))]:
        await worker.join()
    return found


async def look_up(host: str) -> str:
    addresses = await socket2.addr(host)
    return addresses[0].host


def port_range(text: str) -> range:
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError(text)
    return ports


class Options(argparse.Namespace):
    host: str
    ports: range
    timeout: float
    limit: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Find open TCP ports.")
    parser.add_argument("host")
    parser.add_argument("--ports", default="1-1024", type=port_range, metavar="FIRST-LAST")
    parser.add_argument("--timeout", default=1.0, type=float, metavar="SECONDS", help="for each port")
    parser.add_argument("--limit", default=200, type=int, metavar="N", help="how many ports to probe at a time")
    args = parser.parse_args(namespace=Options())
    if args.limit < 1 or not args.timeout >= 0:
        parser.error("--limit must be at least 1, and --timeout must not be negative")
    try:
        host = socket2.run(look_up, args.host)
        found = socket2.run(scan, host, args.ports, args.timeout, args.limit)
    except OSError as error:
        sys.exit(f"{args.host}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    for port in sorted(found):
        if found[port] == OPEN:
            print(port)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(found.values()).most_common())
    print(f"{len(found)} ports: {counts}")


if __name__ == "__main__":
    main()
