"""The load generators as the harness sees them: their command lines and their answers.

Knows the protocol of the C programs (bench/c/client.h). The caller reads the server's CPU and memory between
the stages, while no request is in flight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.build import BUILD
from bench.programs import BenchError, Program

__all__ = ["Load", "LoadSettings", "holding"]

HOST = "127.0.0.1"
OPEN_TIMEOUT_S = 120.0
# Added to the time that the load itself takes. The load generator gives up after 10 s without an answer.
GRACE_S = 30.0
PROGRAMS = {"echo": "load", "udp": "load", "idle": "load", "connections": "churn", "bulk": "pour", "bulk-send": "fetch"}


@dataclass(frozen=True)
class LoadSettings:
    """The settings of a load.

    Args:
        mode: the kind of load: echo, udp, connections, bulk or bulk-send.
        connections: how many at a time.
        size: bytes per request, or per send.
        warmup_s: how long to run before the measurement, in seconds.
        duration_s: how long to measure, in seconds.
    """

    mode: str
    connections: int
    size: int
    warmup_s: float
    duration_s: float


class Load:
    """A running load generator.

    Args:
        settings: its load.
        port: the port of the server.
        core: the core to pin it to, None for any.
    """

    def __init__(self, settings: LoadSettings, port: int, core: int | None) -> None:
        command = [str(BUILD / PROGRAMS[settings.mode]), settings.mode, HOST, str(port)]
        command += ["--connections", str(settings.connections), "--size", str(settings.size)]
        command += ["--warmup-s", str(settings.warmup_s), "--duration-s", str(settings.duration_s)]
        self._settings = settings
        self.program = Program("load", command, core)

    def warm_up(self) -> None:
        """Wait until the load has run for a while and is at rest."""
        self.program.expect("warm", OPEN_TIMEOUT_S + self._settings.warmup_s)

    def measure(self) -> dict[str, float]:
        """Load the server. Returns the load generator's figures when the server is at rest again."""
        self.program.tell("go")
        text = self.program.expect("", self._settings.duration_s + GRACE_S)
        try:
            answer: dict[str, float] = json.loads(text)
        except ValueError as error:
            raise BenchError(f"load generator: not JSON: {text!r}") from error
        return answer


@contextmanager
def holding(port: int, core: int | None, connections: int) -> Iterator[None]:
    """Hold idle connections. Each has made one echo, so that its handler runs.

    Args:
        port: the port of the server.
        core: the core to pin the load generator to, None for any.
        connections: the number of connections.
    """
    command = [str(BUILD / PROGRAMS["idle"]), "idle", HOST, str(port), "--connections", str(connections)]
    with Program("load", command, core) as program:
        program.expect("open", OPEN_TIMEOUT_S)
        yield
