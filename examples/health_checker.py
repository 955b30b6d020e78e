"""Watches whether servers are there: by connecting to them, or by an HTTP request. Tells its findings on a UNIX socket.

Shows many things that happen at intervals, and a CapacityLimiter, so that hundreds of checks do not happen at the same
time. A server that was up is down after several failures, so a single lost packet is no alarm. Each state change is
printed. Whoever connects to the socket gets all states as JSON.

    $ python examples/health_checker.py --socket /tmp/health tcp://127.0.0.1:22 https://example.org/
    listening on /tmp/health
    tcp://127.0.0.1:22 is up (connected in 0 ms)
    https://example.org/ is up (200 in 131 ms)
    $ nc -U /tmp/health
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import socket2

LINE_MAX = 1024
SEND_S = 5.0


class Unhealthy(Exception):
    """The server answers, but not as it should."""


class Endpoint:
    """What is watched, and what is known of it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if parts.scheme not in ("tcp", "http", "https") or not parts.hostname or port is None:
            raise ValueError(f"{url!r} is not tcp://HOST:PORT, http://HOST/... or https://HOST/...")
        self.url = url
        self._scheme = parts.scheme
        self._host, self._port = parts.hostname, port
        self._name = parts.netloc.rpartition("@")[2]
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not re.fullmatch(r"[\x21-\x7e]+", self._name + self._target):
            raise ValueError(f"{url!r} has characters that no URL has")
        self.state: Literal["unknown", "up", "down"] = "unknown"
        self.since: float | None = None
        self.failures = 0
        self.finding = ""

    async def check(self) -> str:
        """Ask the server. Return what is good; raise OSError, EOFError or Unhealthy for what is not."""
        begun = socket2.now()
        tls = socket2.client_context() if self._scheme == "https" else None
        with await socket2.connect(self._host, self._port, tls=tls) as conn:
            finding = "connected" if self._scheme == "tcp" else await self._ask(socket2.stream(conn))
        return f"{finding} in {(socket2.now() - begun) * 1000:.0f} ms"

    async def _ask(self, stream: socket2.Stream) -> str:
        request = f"GET {self._target} HTTP/1.1\r\nHost: {self._name}\r\nUser-Agent: health_checker\r\n"
        await stream.sendall(f"{request}Connection: close\r\n\r\n".encode())
        line = await stream.recvuntil(b"\r\n", LINE_MAX)
        match = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9][0-9])( .*)?", line)
        if not match:
            raise Unhealthy("this is no HTTP server")
        status = match[1].decode()
        if status[0] not in "23":
            raise Unhealthy(f"status {status}")
        return status

    def note(self, is_up: bool, finding: str, failures_max: int) -> None:
        """Remember a finding, and print it if the state changes."""
        self.finding = finding
        self.failures = 0 if is_up else self.failures + 1
        state: Literal["up", "down"] = "up" if is_up else "down"
        if state != self.state and (is_up or self.state == "unknown" or self.failures >= failures_max):
            self.state = state
            self.since = socket2.now()
            print(f"{self.url} is {state} ({finding})", flush=True)

    def facts(self) -> dict[str, object]:
        seconds = None if self.since is None else round(socket2.now() - self.since, 3)
        return {"state": self.state, "for_s": seconds, "failures": self.failures, "finding": self.finding}


class Checker:
    """Checks all endpoints, and tells what it has found."""

    def __init__(self, options: Options) -> None:
        self._endpoints = options.endpoint
        self._options = options
        self._room = socket2.CapacityLimiter(options.at_once)

    async def watch(self, server: socket2.Server) -> None:
        """Check all endpoints until this is cancelled."""
        print("listening on", socket2.format_address(server.addresses[0]), flush=True)
        async with socket2.threadset() as threads:
            for endpoint in self._endpoints:
                threads.newthread(self._watch_one, endpoint, name=endpoint.url)

    async def _watch_one(self, endpoint: Endpoint) -> None:
        interval_s = self._options.interval
        await socket2.sleep(random.uniform(0, min(interval_s, 1)))  # not all at the same moment
        while True:
            async with self._room:
                await self._check(endpoint)
            await socket2.sleep(interval_s * random.uniform(0.9, 1.1))

    async def _check(self, endpoint: Endpoint) -> None:
        try:
            with socket2.timeout(self._options.timeout):
                finding = await endpoint.check()
        except TimeoutError:
            endpoint.note(False, f"no answer in {self._options.timeout:g} s", self._options.failures)
        except (OSError, EOFError, Unhealthy) as error:
            endpoint.note(False, str(error), self._options.failures)
        else:
            endpoint.note(True, finding, self._options.failures)

    async def tell(self, conn: socket2.TCP) -> None:
        conn.settimeout(SEND_S)
        states = {endpoint.url: endpoint.facts() for endpoint in self._endpoints}
        await conn.sendall(f"{json.dumps(states, indent=2)}\n".encode())


class Options(argparse.Namespace):
    socket: str
    interval: float
    timeout: float
    failures: int
    at_once: int
    endpoint: list[Endpoint]


def endpoint(url: str) -> Endpoint:
    try:
        return Endpoint(url)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch whether servers are there.")
    parser.add_argument("--socket", required=True, metavar="PATH", help="where to tell the states")
    parser.add_argument("--interval", default=10.0, type=float, metavar="SECONDS", help="between two checks")
    parser.add_argument("--timeout", default=5.0, type=float, metavar="SECONDS", help="limit for a check")
    parser.add_argument("--failures", default=3, type=int, metavar="N", help="in a row, until a server is down")
    parser.add_argument("--at-once", default=50, type=int, metavar="N", help="limit for checks at the same time")
    parser.add_argument(
        "endpoint", nargs="+", type=endpoint, metavar="URL", help="tcp://HOST:PORT, http:// or https://"
    )
    args = parser.parse_args(namespace=Options())
    if not (args.interval > 0 and args.timeout > 0 and args.failures > 0 and args.at_once > 0):
        parser.error("numbers must be positive")
    checker = Checker(args)
    where = args.socket if "/" in args.socket else f"./{args.socket}"
    try:
        socket2.run(partial(socket2.serve, checker.tell, where, max_connections=100, grace_s=1, ready=checker.watch))
    except OSError as error:
        sys.exit(f"cannot listen on {args.socket}: {error}")


if __name__ == "__main__":
    main()
