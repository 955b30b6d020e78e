"""Runs a command and prints each line of its output with the time, what it writes to stderr marked with "!".

Shows a child process whose outputs are followed line by line at the same time, and a graceful end: Ctrl-C, or --limit,
sends it SIGTERM, prints what it still has to say for at most --grace seconds, and then kills it.

    $ python examples/follow_command.py ping -c 2 127.0.0.1
    12:00:00.010   PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.
    12:00:00.010   64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.021 ms
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import suppress
from datetime import datetime
from subprocess import DEVNULL, PIPE
from typing import Any

import socket2


def follow(lines: socket2.Stream, mark: str) -> Generator[Any, Any, None]:
    """Print lines until the stream ends. The last one may have no end."""
    while True:
        try:
            line = yield from lines.recvline(max_bytes=None)
        except socket2.IncompleteRead:
            line = yield from lines.recvall()
        if line is None:
            return
        print(f"{datetime.now():%H:%M:%S.%f}"[:-3], mark, line.decode(errors="replace"), flush=True)


def watch(command: list[str], limit_s: float | None, grace_s: float) -> Generator[Any, Any, int]:
    with socket2.process(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True) as child:
        output = socket2.newthread(follow, child.stdout, " ")
        errors = socket2.newthread(follow, child.stderr, "!")
        try:
            with socket2.timeout(limit_s):
                yield from output.join()
                yield from errors.join()
                return (yield from child.wait())
        except (TimeoutError, socket2.Cancelled):
            child.terminate()
            with suppress(TimeoutError), socket2.timeout(grace_s):
                yield from output.join()
                yield from errors.join()
                yield from child.wait()
            raise


class Options(argparse.Namespace):
    limit: float | None
    grace: float
    command: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command, and print its output with the time of each line.")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="end it after this time")
    parser.add_argument("--grace", type=float, default=2, metavar="SECONDS", help="kill it so long after SIGTERM")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(namespace=Options())
    if not args.command:
        parser.error("no command")
    try:
        return socket2.run(watch, args.command, args.limit, args.grace)
    except TimeoutError:
        print(f"{args.command[0]} took longer than {args.limit:g} s", file=sys.stderr)
        return 124
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"cannot run {args.command[0]}: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
