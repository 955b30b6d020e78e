"""Scenario connections: what a short connection costs: accept, one small echo, close.

Knows what to read and when. Each of the `--connections` clients makes one connection after another. The
headline is CPU per connection, for the reasons given in `echo`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.columns import cost_columns
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import ECHO_SERVERS
from bench.scenario import Case, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = cost_columns("connection", "conn")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections", type=int, default=50, metavar="N", help="clients at a time (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, default=64, metavar="B", help="bytes per request (default: %(default)s)")
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    connections, note = spare_connections(options.connections)
    settings = settings_of("connections", connections, options.size, options)

    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement).per("connections", "connection")

    return Plan((Case("", sample),), COLUMNS, (note,) if note else ())


SCENARIO = Scenario("connections", "server CPU per accept + echo + close", ECHO_SERVERS, _add_arguments, _plan)
