"""Random programs over a TLS stream: cancellations and timeouts at any wait, in both directions. Nothing may be lost.

`python -m tests.tls.at_random --total 100000` makes programs until there were so many cancellations. A failure prints
the seed, which makes the same program again. With `--members 4`, four OS threads run several programs at a time, and
cancellations come at any moment. Then the seed alone does not decide what happens.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from socket2 import TLS, Cancelled, Closed, newthread, run, serve_threads, sleep, threadset, timeout

from .certificates import VERSIONS, Authority
from .ends import Steps, ends, over, shaken

MOST = 40_000
KINDS = ("memory", "memory", "unix", "tcp", "tls")
SHARED_KINDS = ("unix", "tcp", "tls")  # the others are for one OS thread
PROGRAMS = 4
# The interpreter's own interval, and shorter ones: then OS threads interrupt each other in more places.
SWITCH_INTERVALS_S = (0.005, 0.0005, 0.00005)


class Program:
    """One program. `given_up` counts the operations that ended early."""

    def __init__(self, authority: Authority, seed: int, kinds: Sequence[str] = KINDS) -> None:
        self._authority = authority
        self._random = random.Random(seed)
        self._kinds = kinds
        self.given_up = 0

    def main(self) -> Steps:
        chance = self._random
        kind = chance.choice(self._kinds)
        below = ends(self._authority, kind, chance.choice([1, 10, 100, 5000]))
        client, server = over(self._authority, *below, chance.choice(VERSIONS))
        with client, server:
            if chance.random() < 0.1:
                yield from self._cancelled_handshake(client, server)
                return
            yield from shaken(client, server)
            threads = []
            for source, sink in ((client, server), (server, client)):
                data = chance.randbytes(chance.randrange(2000 if kind == "memory" else MOST))
                threads.append(newthread(self._send(source, data), name="sender"))
                threads.append(newthread(self._receive(sink, data), name="receiver"))
            for thread in threads:
                yield from thread.join()

    def _cancelled_handshake(self, client: TLS, server: TLS) -> Steps:
        sides = [client, server]
        self._random.shuffle(sides)
        victim, other = (newthread(self._handshake(side)) for side in sides)
        for _ in range(self._random.randrange(12)):
            yield from sleep(0)
        victim.cancel()
        yield from victim.join()
        yield from other.join()

    def _handshake(self, side: TLS) -> Steps:
        try:
            yield from side.handshake()
        except (Cancelled, OSError):
            self.given_up += 1
            assert side.closed

    def _within(self, operation: Any) -> Steps:
        """Make an operation. Perhaps end it early, in one of two ways."""
        chance = self._random
        kind = chance.randrange(3)
        if kind == 0:
            with timeout(chance.choice([0, 0.0001, 0.001])):
                return (yield from operation)
        if kind == 1:
            thread = newthread(operation)
            for _ in range(chance.choice([0, 0, 1, 2, 3, 10])):
                yield from sleep(0)
            thread.cancel()
            return (yield from thread.join())
        return (yield from operation)

    def _send(self, stream: TLS, data: bytes) -> Steps:
        sent = 0
        while sent < len(data):
            size = self._random.choice([1, 50, 500, 20_000])
            piece = data[sent : sent + size]
            try:
                yield from self._within(stream.sendall(piece))
            except (Cancelled, TimeoutError) as error:
                self.given_up += 1
                sent += error.bytes_sent  # type: ignore[union-attr]
            else:
                sent += len(piece)
        stream.shutdown()

    def _receive(self, stream: TLS, data: bytes) -> Steps:
        received = bytearray()
        while True:
            n = self._random.choice([1, 50, 200, 1 << 16])
            buffer = bytearray(n)
            into = self._random.random() < 0.3
            try:
                got = yield from self._within(stream.recv_into(buffer) if into else stream.recv(n))
            except (Cancelled, TimeoutError):
                self.given_up += 1
                assert not any(buffer)
                continue
            piece = bytes(buffer[:got]) if into else got
            if not piece:
                break
            received += piece
            assert data.startswith(received[-n:], max(len(received) - n, 0)), "bytes are lost or doubled"
        assert received == data


def make(authority: Authority, seed: int) -> int:
    """Run the program of a seed. Return how many operations ended early."""
    program = Program(authority, seed)
    try:
        run(program.main)
    except Closed as error:
        raise AssertionError("closed by nobody") from error
    return program.given_up


@contextmanager
def switching(interval_s: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def make_shared(authority: Authority, seed: int, members: int) -> int:
    """Do the same with several programs at a time, which `members` OS threads run."""
    programs = [Program(authority, seed * PROGRAMS + number, SHARED_KINDS) for number in range(PROGRAMS)]
    errors: list[BaseException] = []

    def main() -> Steps:
        try:
            with threadset() as ts:
                for program in programs:
                    ts.newthread(program.main)
                yield from ts.join()
        except BaseException as error:
            errors.append(error)

    newthread(main)
    with switching(random.Random(seed).choice(SWITCH_INTERVALS_S)):
        serve_threads(members)
    if errors:
        raise errors[0]
    return sum(program.given_up for program in programs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tls.at_random", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--total", type=int, default=1, help="cancellations and timeouts")
    parser.add_argument("--members", type=int, default=1, help="OS threads")
    options = parser.parse_args()
    given_up = 0
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        for seed in itertools.count(options.seed):
            try:
                if options.members > 1:
                    given_up += make_shared(authority, seed, options.members)
                else:
                    given_up += make(authority, seed)
            except BaseException:
                print(f"seed {seed}")
                raise
            if given_up >= options.total:
                break
    programs = (seed + 1 - options.seed) * (PROGRAMS if options.members > 1 else 1)
    print(f"{programs} programs, {given_up} operations ended early, nothing lost")


if __name__ == "__main__":
    main()
