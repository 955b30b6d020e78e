"""Scenario scale: how the cost of a request grows with the number of connections.

There are two cases. In the first, all connections are busy, and the kernel's own cost grows, too (see the
C server). In the second, a constant number is busy and more and more are idle, as in a typical server.
One sample measures a row at all numbers of connections, one after the other, with a fresh server for each.
The growth is computed within that sample, so drift cancels out.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from bench.contender import Contender
from bench.distance import METRIC
from bench.load import holding
from bench.machine import Placement, spare_connections
from bench.roster import ECHO_SERVERS
from bench.scenario import Case, Column, Line, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections",
        type=int,
        nargs="+",
        default=[100, 1000, 10_000],
        metavar="N",
        help="open connections; growth is against the first (default: 100 1000 10000)",
    )
    parser.add_argument("--size", type=int, default=64, metavar="B", help="bytes per request (default: %(default)s)")
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    most, note = spare_connections(max(options.connections))
    numbers = list(dict.fromkeys(min(number, most) for number in options.connections))

    def sample(server: Contender, all_busy: bool) -> Sample:
        metrics: dict[str, float] = {}
        for number in numbers:
            busy = number if all_busy else numbers[0]
            settings = settings_of("echo", busy, options.size, options)
            loaded = measure_loaded(server, settings, placement, partial(_hold, placement.load_core, number - busy))
            figures = loaded.per("requests", "request")
            metrics[_cost(number)] = figures["cpu_us_per_request"]
            metrics[f"requests_per_s_at_{number}"] = figures["requests_per_s"]
            metrics[f"p99_us_at_{number}"] = figures["p99_us"]
            metrics[_growth(number)] = metrics[_cost(number)] / metrics[_cost(numbers[0])]
            metrics.setdefault(METRIC, figures[METRIC])
        return metrics

    columns = [Column(_cost(number), f"us/req at {number}", 2, ratio=True, spread=True) for number in numbers]
    columns += [Column(_growth(number), f"{number} : {numbers[0]}", 2) for number in numbers[1:]]
    line = Line({number: _cost(number) for number in numbers}, "connections", "server CPU, us per request")
    cases = (
        Case("all of them busy", lambda server: sample(server, True)),
        Case(f"{numbers[0]} of them busy", lambda server: sample(server, False)),
    )
    return Plan(cases, tuple(columns), (note,) if note else (), line)


def _hold(core: int | None, idle: int, port: int) -> AbstractContextManager[None]:
    return holding(port, core, idle) if idle else nullcontext()


def _cost(number: int) -> str:
    return f"cpu_us_per_request_at_{number}"


def _growth(number: int) -> str:
    return f"growth_at_{number}"


SCENARIO = Scenario("scale", "server CPU per request as connections increase", ECHO_SERVERS, _add_arguments, _plan)
