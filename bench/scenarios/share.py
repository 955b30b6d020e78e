"""Scenario share: what several OS threads on one scheduler cost, and what they gain if handlers block.

Knows what to read and when. The first case is a busy echo without blocking handlers: its figure is the CPU per
request, compared with a private scheduler. In the other cases one or two handlers are blocked at any time, while
a few connections make quick requests: their latency shows how long they wait for the blocked handlers. asyncio
and gevent run blocking calls in a thread pool.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from bench.contender import Contender
from bench.machine import Placement
from bench.programs import Program
from bench.roster import BLOCKING_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("cpu_us_per_request", "cpu us/req", 2, ratio=True, spread=True),
    Column("requests_per_s", "req/s", ratio=True),
    Column("p50_us", "p50 us"),
    Column("p99_us", "p99 us", ratio=True),
    Column("max_us", "max us"),
)
START_TIMEOUT_S = 30.0


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=64, metavar="B", help="bytes per request (default: %(default)s)")
    parser.add_argument(
        "--connections", type=int, default=100, metavar="N", help="busy, nobody blocking (default: %(default)s)"
    )
    parser.add_argument(
        "--quick",
        type=int,
        default=10,
        metavar="N",
        help="quick connections beside the blocked ones (default: %(default)s)",
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    busy = f"nobody blocks, {options.size} B x {options.connections}"
    cases = (
        _case(busy, options.connections, 0, 0, options, placement),
        _case(f"1 blocks 50 ms, quick x {options.quick}", options.quick, 1, 50, options, placement),
        _case(f"2 block 100 ms, quick x {options.quick}", options.quick, 2, 100, options, placement),
    )
    return Plan(cases, COLUMNS)


def _case(name: str, connections: int, blocked: int, blocked_ms: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of("echo", connections, options.size, options)

    @contextmanager
    def blocking(port: int) -> Iterator[None]:
        if not blocked:
            yield
            return
        command = [sys.executable, "-m", "bench.blockers", str(port), str(blocked), str(blocked_ms)]
        with Program("blockers", command, placement.load_core) as program:
            program.expect("blocking", START_TIMEOUT_S)
            yield

    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement, blocking).per("requests", "request")

    return Case(name, sample)


SCENARIO = Scenario(
    "share",
    "several OS threads on one scheduler: CPU, and latency while some block",
    BLOCKING_SERVERS,
    _add_arguments,
    _plan,
)
