"""Scenario echo: what one small request and its answer cost a server, over many busy connections.

Knows what to read and when. CPU per request is the headline: unlike throughput it does not depend on
how fast the load generator is, and unlike latency not on how long the queue is. `busy` tells whether
the server was saturated (100 %) during the measurement.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass

from bench.distance import METRIC, alike, core_distance_ns
from bench.load import EchoLoad
from bench.machine import Placement, spare_connections
from bench.measure import Cpu, Memory, cpu_used, memory_used, serving
from bench.roster import Server
from bench.scenario import Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("cpu_us_per_request", "cpu us/req", 2, ratio=True, spread=True),
    Column("user_us_per_request", "user", 2),
    Column("system_us_per_request", "sys", 2),
    Column("busy_percent", "busy %"),
    Column("requests_per_s", "req/s", ratio=True),
    Column("p50_us", "p50 us", ratio=True),
    Column("p99_us", "p99 us", ratio=True),
    Column("p99_9_us", "p99.9 us", ratio=True),
)
ATTEMPTS_MAX = 3


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=64, metavar="B", help="bytes per request (default: %(default)s)")
    parser.add_argument(
        "--connections", type=int, default=100, metavar="N", help="busy connections (default: %(default)s)"
    )
    parser.add_argument(
        "--duration-s", type=float, default=2.0, metavar="S", help="length of a round (default: %(default)s)"
    )
    parser.add_argument(
        "--warmup-s", type=float, default=0.5, metavar="S", help="load before it (default: %(default)s)"
    )


@dataclass(frozen=True)
class _Sampler:
    """Takes samples; the settings are those of EchoLoad."""

    placement: Placement
    connections: int
    size: int
    warmup_s: float
    duration_s: float

    def sample(self, server: Server) -> Sample:
        """One sample during which the cores stayed where they were, if that can be had."""
        for _ in range(ATTEMPTS_MAX):
            before_ns = core_distance_ns(self.placement)
            sample = self._measure(server)
            after_ns = core_distance_ns(self.placement)
            if alike(before_ns, after_ns):
                break
        return {**sample, METRIC: (before_ns + after_ns) / 2}

    def _measure(self, server: Server) -> Sample:
        with serving(server, self.placement.server_core) as (program, port):
            load = EchoLoad(port, self.placement.load_core, self.connections, self.size, self.warmup_s, self.duration_s)
            with load.program:
                load.warm_up()
                before = cpu_used(program.pid)
                answer = load.measure()
                used = cpu_used(program.pid).since(before)
                memory = memory_used(program.pid)
        return _sample(answer, used, memory)


def _sample(answer: Mapping[str, float], used: Cpu, memory: Memory) -> Sample:
    requests, seconds = answer["requests"], answer["seconds"]
    cpu_us = used.total_s / requests * 1e6
    return {
        "cpu_us_per_request": cpu_us,
        "user_us_per_request": cpu_us * used.user_share,
        "system_us_per_request": cpu_us * (1 - used.user_share),
        "busy_percent": used.total_s / seconds * 100,
        "load_busy_percent": answer["load_cpu_s"] / seconds * 100,
        "requests_per_s": requests / seconds,
        **answer,
        "rss_bytes": memory.rss,
        "pss_bytes": memory.pss,
        "uss_bytes": memory.uss,
    }


def _plan(options: Namespace, placement: Placement) -> Plan:
    connections, note = spare_connections(options.connections)
    sampler = _Sampler(placement, connections, options.size, options.warmup_s, options.duration_s)
    return Plan(sampler.sample, (note,) if note else ())


SCENARIO = Scenario("echo", "server CPU per request, throughput and latency", COLUMNS, _add_arguments, _plan)
