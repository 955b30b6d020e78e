"""Scenario echo: what a request and its answer cost a server with many busy connections.

Knows what to read and when. The headline is CPU per request. Unlike throughput, it does not depend on
the speed of the load generator; unlike latency, it does not depend on the length of the queue. `busy`
shows whether the server was saturated (100 %) during the measurement. `--matrix` measures the usual
sizes and numbers of connections.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.columns import cost_columns
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import ECHO_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = cost_columns("request", "req", Column("p99_9_us", "p99.9 us", ratio=True))
MATRIX_SIZES = (64, 1024, 65536)
MATRIX_CONNECTIONS = (1, 100, 1000)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=int, nargs="+", default=[64], metavar="B", help="bytes per request (default: 64)"
    )
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[100], metavar="N", help="busy connections (default: 100)"
    )
    parser.add_argument(
        "--matrix", action="store_true", help=f"all of the sizes {MATRIX_SIZES} with all of {MATRIX_CONNECTIONS}"
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    sizes = MATRIX_SIZES if options.matrix else options.size
    numbers = MATRIX_CONNECTIONS if options.matrix else options.connections
    most, note = spare_connections(max(numbers))
    numbers = dict.fromkeys(min(number, most) for number in numbers)
    cases = [_case(size, connections, options, placement) for size in sizes for connections in numbers]
    return Plan(tuple(cases), COLUMNS, (note,) if note else ())


def _case(size: int, connections: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of("echo", connections, size, options)

    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement).per("requests", "request")

    return Case(f"{size} B x {connections}", sample)


SCENARIO = Scenario("echo", "server CPU per request, throughput and latency", ECHO_SERVERS, _add_arguments, _plan)
