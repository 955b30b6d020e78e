"""Scenario idle: how much memory of a server a waiting connection costs.

Knows how many connections there can be; what is read, and when, is in bench/at_rest.py.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.at_rest import COLUMNS, FIRST_CONNECTIONS, measure_idle
from bench.machine import Placement, spare_connections
from bench.roster import ECHO_SERVERS, Contender
from bench.scenario import Case, Plan, Sample, Scenario

__all__ = ["SCENARIO"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections", type=int, default=10_000, metavar="N", help="idle connections (default: %(default)s)"
    )


def _plan(options: Namespace, placement: Placement) -> Plan:
    spare, note = spare_connections(options.connections + FIRST_CONNECTIONS)

    def sample(server: Contender) -> Sample:
        return measure_idle(server, spare - FIRST_CONNECTIONS, placement)

    return Plan((Case("", sample),), COLUMNS, (note,) if note else ())


SCENARIO = Scenario("idle", "private memory per idle connection", ECHO_SERVERS, _add_arguments, _plan)
