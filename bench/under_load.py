"""One measurement of a server under load, for every scenario with a load generator.

Knows the order: start, warm up, read the CPU clock at rest, load, read it again; then load once more to count
what would disturb the clock. It repeats a sample if the host has moved the cores during it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from bench.contender import Contender
from bench.counters import Counts, counting
from bench.distance import METRIC, alike, core_distance_ns
from bench.load import Load, LoadSettings
from bench.machine import Placement
from bench.measure import Cpu, Memory, cpu_used, memory_used, processes, serving

__all__ = ["Loaded", "add_times", "measure_loaded", "settings_of"]

ATTEMPTS_MAX = 3


@dataclass(frozen=True)
class Loaded:
    """The outcome: the load generator's figures, the server's CPU use under load and its memory after that.

    The second load, under which things were counted, has figures of its own.
    """

    answer: Mapping[str, float]
    used: Cpu
    memory: Memory
    counted_answer: Mapping[str, float]
    counts: Counts
    core_distance_ns: float = 0.0

    def per(self, unit: str, name: str) -> dict[str, float]:
        """Return the metrics that every scenario has.

        Args:
            unit: the key of the answer that counts the work done.
            name: the name of one unit in the names of metrics.
        """
        count, seconds = self.answer[unit], self.answer["seconds"]
        cpu_us = self.used.total_s / count * 1e6
        return {
            f"cpu_us_per_{name}": cpu_us,
            f"user_us_per_{name}": cpu_us * self.used.user_share,
            f"system_us_per_{name}": cpu_us * (1 - self.used.user_share),
            f"{unit}_per_s": count / seconds,
            f"faults_per_{name}": self.used.minor_faults / count,
            "busy_percent": self.used.total_s / seconds * 100,
            "load_busy_percent": self.answer["load_cpu_s"] / seconds * 100,
            **{f"{what}_per_{name}": number / self.counted_answer[unit] for what, number in self.counts.items()},
            **self.answer,
            "rss_bytes": self.memory.rss,
            "pss_bytes": self.memory.pss,
            "uss_bytes": self.memory.uss,
            METRIC: self.core_distance_ns,
        }


Beside = Callable[[int], AbstractContextManager[None]]


def _nobody(port: int) -> AbstractContextManager[None]:
    return nullcontext()


def measure_loaded(
    server: Contender,
    settings: LoadSettings,
    placement: Placement,
    beside: Beside = _nobody,
) -> Loaded:
    """Measure a fresh server once. Tries a few times to get a sample during which the cores did not move.

    Args:
        server: a row of the roster.
        settings: the load.
        placement: the cores.
        beside: other clients of the server's port, which start before the warm-up.
    """
    settings = replace(settings, warmup_s=max(settings.warmup_s, server.warmup_s))
    for _ in range(ATTEMPTS_MAX):
        before_ns = core_distance_ns(placement)
        loaded = _measure(server, settings, placement, beside)
        after_ns = core_distance_ns(placement)
        if alike(before_ns, after_ns):
            break
    return replace(loaded, core_distance_ns=(before_ns + after_ns) / 2)


def _measure(
    server: Contender,
    settings: LoadSettings,
    placement: Placement,
    beside: Beside,
) -> Loaded:
    with serving(server, placement.server_core) as (program, port), beside(port):
        load = Load(settings, port, placement.load_core)
        with load.program:
            load.warm_up()
            before = cpu_used(program.pid)
            answer = load.measure()
            used = cpu_used(program.pid).since(before)
            memory = memory_used(program.pid)
            counted_answer: Mapping[str, float] = {}
            counts: Counts = {}
            if settings.counted_s:
                with counting(list(processes(program.pid))) as counts:
                    counted_answer = load.measure(settings.counted_s)
    return Loaded(answer, used, memory, counted_answer, counts)


def add_times(parser: ArgumentParser, duration_s: float = 2.0, warmup_s: float = 0.5) -> None:
    """Declare the options of every load."""
    parser.add_argument(
        "--duration-s", type=float, default=duration_s, metavar="S", help="length of a sample (default: %(default)s)"
    )
    parser.add_argument(
        "--warmup-s", type=float, default=warmup_s, metavar="S", help="load before it (default: %(default)s)"
    )
    parser.add_argument(
        "--counted-s",
        type=float,
        default=0.3,
        metavar="S",
        help="a second load, to count instructions and system calls; 0: none (default: %(default)s)",
    )


def settings_of(mode: str, connections: int, size: int, options: Namespace) -> LoadSettings:
    """Return the settings, with the times from the command line."""
    return LoadSettings(mode, connections, size, options.warmup_s, options.duration_s, options.counted_s)
