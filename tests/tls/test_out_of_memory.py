"""Each allocation of a receive and a send in C fails once: what was received or sent is known, or the stream fails."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import TLS
from socket2.tls import layer

from ..native.test_memory import failing
from .certificates import Authority
from .ends import Steps, ends, limited, over, shaken

pytestmark = pytest.mark.skipif(layer._records is None, reason="the part in C is not built, or switched off")

RESULTS_ARE_EXCEPTIONS = sys.version_info >= (3, 12)
"""`yield from` takes the result of an operation in C from a StopIteration, which needs memory, too."""

NUMBERS = range(20)  # operations take most of their memory from what is kept for reuse


class Pair:
    """Two ends, which are made again when one of them has failed."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.made = 0

    def open(self) -> Steps:
        self.client, self.server = over(self._authority, *ends(self._authority, "unix"))
        self.made += 1
        yield from shaken(self.client, self.server)
        for _ in range(2):
            yield from self.client.sendall(b"first")
            assert (yield from self.server.recv()) == b"first"
            yield from self.server.sendall(b"first")  # with the tickets
            assert (yield from self.client.recv()) == b"first"

    def close(self) -> None:
        self.client.close()
        self.server.close()


@contextmanager
def pair(authority: Authority) -> Iterator[Pair]:
    made = Pair(authority)
    try:
        yield made
    finally:
        made.close()


def check_free(side: TLS) -> None:
    assert not side._receiving.taken
    assert not side._sending.taken
    assert hasattr(side._engine, "_free")


def at_once(op: Any) -> Any:
    """Return what an operation returns, or None if it waits."""
    steps = iter(op)
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    steps.close()
    return None


def test_a_receive(authority: Authority) -> None:
    def main() -> Steps:
        yield from both.open()
        failures = 0
        for number in NUMBERS:
            data = b"%d" % number * 2000
            yield from both.client.sendall(data)
            received = None
            with failing(number) as errors:
                received = yield from both.server.recv()
            check_free(both.server)
            failures += bool(errors)
            try:
                received = received or at_once(both.server.recv())
            except (ssl.SSLError, MemoryError):
                both.close()
                yield from both.open()
            else:
                lost = errors and received is None and RESULTS_ARE_EXCEPTIONS
                assert lost or received == data, f"allocation {number}: {errors}"
        assert 0 < failures < len(NUMBERS)

    with pair(authority) as both:
        limited(main)


def test_a_send(authority: Authority) -> None:
    def main() -> Steps:
        yield from both.open()
        failures = 0
        for number in NUMBERS:
            data = b"%d" % number * 2000
            with failing(number) as errors:
                yield from both.client.sendall(data)
            check_free(both.client)
            failures += bool(errors)
            sent = getattr(errors[0], "bytes_sent", None) if errors else len(data)
            try:
                yield from both.client.sendall(b"end")
                received = b""
                while not received.endswith(b"end"):
                    received += yield from both.server.recv()
            except ssl.SSLError:
                both.close()
                yield from both.open()
            else:
                assert received in ([data[:sent] + b"end"] if sent is not None else [b"end", data + b"end"]), number
        assert 0 < failures < len(NUMBERS)

    with pair(authority) as both:
        limited(main)
