"""The load generators as the harness sees them: their command lines and their answers.

Knows the protocol of the C programs (bench/c/client.h). The caller reads the server's CPU and memory between
the stages, while no request is in flight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.build import BUILD
from bench.programs import BenchError, Program

__all__ = ["Load", "LoadSettings", "holding"]

HOST = "127.0.0.1"
OPEN_TIMEOUT_S = 600.0  # for 10 000 connections with TLS, on a busy machine
# Added to the time that the load itself takes. The load generator gives up after 10 s without an answer.
GRACE_S = 30.0
# Added to it if a number of requests, and not a time, ends the load, which may take long on a busy machine.
REQUESTS_TIMEOUT_S = 7200.0
PROGRAMS = {
    "echo": "load",
    "udp": "load",
    "http": "load",
    "http-varied": "load",
    "websocket": "load",
    "idle": "load",
    "connections": "churn",
    "bulk": "pour",
    "bulk-send": "fetch",
}


@dataclass(frozen=True)
class LoadSettings:
    """The settings of a load.

    Args:
        mode: the kind of load: echo, udp, http, http-varied, websocket, connections, bulk or bulk-send.
        connections: how many at a time.
        size: bytes per request, or per send.
        warmup_s: how long to run before the measurement, in seconds.
        duration_s: how long to measure, in seconds.
        counted_s: how long to count instructions and system calls after that, in seconds; 0: not at all.
        requests: how many requests, or connections, to make in a measurement, whatever time that takes.
        certificate: use TLS; the file with the server's certificate.
        resume: resume TLS sessions.
    """

    mode: str
    connections: int
    size: int
    warmup_s: float
    duration_s: float
    counted_s: float = 0.0
    requests: int | None = None
    certificate: Path | None = None
    resume: bool = False


def _command(mode: str, port: int, connections: int, certificate: Path | None) -> list[str]:
    program = PROGRAMS[mode] if certificate is None else f"tls_{PROGRAMS[mode]}"
    command = [str(BUILD / program), mode, HOST, str(port), "--connections", str(connections)]
    return command if certificate is None else [*command, "--certificate", str(certificate)]


class Load:
    """A running load generator.

    Args:
        settings: its load.
        port: the port of the server.
        core: the core to pin it to, None for any.
    """

    def __init__(self, settings: LoadSettings, port: int, core: int | None) -> None:
        command = _command(settings.mode, port, settings.connections, settings.certificate)
        command += ["--size", str(settings.size)]
        command += ["--warmup-s", str(settings.warmup_s), "--duration-s", str(settings.duration_s)]
        if settings.requests is not None:
            command += ["--requests", str(settings.requests)]
        if settings.resume:
            command.append("--resume")
        self._settings = settings
        self.program = Program("load", command, core)

    def warm_up(self) -> None:
        """Wait until the load has run for a while and is at rest."""
        self.program.expect("warm", OPEN_TIMEOUT_S + self._settings.warmup_s)

    def measure(self, duration_s: float | None = None) -> dict[str, float]:
        """Load the server. Returns the load generator's figures when the server is at rest again. May be repeated.

        Args:
            duration_s: how long, in seconds, if not as the settings say. All later measurements are as long.
        """
        settings = self._settings
        self.program.tell("go" if duration_s is None else f"go {duration_s}")
        longest_s = duration_s or (settings.duration_s if settings.requests is None else REQUESTS_TIMEOUT_S)
        text = self.program.expect("", longest_s + GRACE_S)
        try:
            answer: dict[str, float] = json.loads(text)
        except ValueError as error:
            raise BenchError(f"load generator: not JSON: {text!r}") from error
        return answer


@contextmanager
def holding(port: int, core: int | None, connections: int, certificate: Path | None = None) -> Iterator[None]:
    """Hold idle connections. Each has made one echo, so that its handler runs.

    Args:
        port: the port of the server.
        core: the core to pin the load generator to, None for any.
        connections: the number of connections.
        certificate: use TLS; the file with the server's certificate.
    """
    with Program("load", _command("idle", port, connections, certificate), core) as program:
        program.expect("open", OPEN_TIMEOUT_S)
        yield
