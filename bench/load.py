"""The load generator, from this side: its command lines and its answers.

Knows the protocol of bench/c/load.c. The server's accounts are read by the caller between the stages,
while nothing is in flight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from bench.build import BUILD
from bench.programs import BenchError, Program

__all__ = ["EchoLoad", "holding"]

HOST = "127.0.0.1"
LOAD = str(BUILD / "load")
OPEN_TIMEOUT_S = 120.0
# On top of the time that the load itself takes; it gives up by itself after 10 s without an answer.
GRACE_S = 30.0


class EchoLoad:
    """A load generator that keeps connections busy with one request each.

    Args:
        port: where the server listens.
        core: the core to pin it to, None for any.
        connections: how many.
        size: bytes per request.
        warmup_s: how long to run before the measurement, in seconds.
        duration_s: how long to measure, in seconds.
    """

    def __init__(
        self, port: int, core: int | None, connections: int, size: int, warmup_s: float, duration_s: float
    ) -> None:
        command = [LOAD, "echo", HOST, str(port)]
        command += ["--connections", str(connections), "--size", str(size)]
        command += ["--warmup-s", str(warmup_s), "--duration-s", str(duration_s)]
        self._warmup_s = warmup_s
        self._duration_s = duration_s
        self.program = Program("load", command, core)

    def warm_up(self) -> None:
        """Returns when all connections are open, warm and at rest."""
        self.program.expect("warm", OPEN_TIMEOUT_S + self._warmup_s)

    def measure(self) -> dict[str, float]:
        """Load the server; returns the generator's account of it when all connections are at rest again."""
        self.program.tell("go")
        text = self.program.expect("", self._duration_s + GRACE_S)
        try:
            answer: dict[str, float] = json.loads(text)
        except ValueError as error:
            raise BenchError(f"load generator: not JSON: {text!r}") from error
        return answer


@contextmanager
def holding(port: int, core: int | None, connections: int) -> Iterator[None]:
    """Hold idle connections, each after one echo, so that its handler has run.

    Args:
        port: where the server listens.
        core: the core to pin the generator to, None for any.
        connections: how many.
    """
    command = [LOAD, "idle", HOST, str(port), "--connections", str(connections)]
    with Program("load", command, core) as program:
        program.expect("open", OPEN_TIMEOUT_S)
        yield
