"""Scenario idle: how much memory of a server a waiting connection costs.

Knows how many connections there can be; what is read, and when, is in bench/at_rest.py.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from bench.at_rest import COLUMNS, FIRST_CONNECTIONS, measure_idle
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import ECHO_SERVERS, KEEP_MEMORY
from bench.scenario import Case, Plan, Sample, Scenario

__all__ = ["SCENARIO"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections", type=int, default=10_000, metavar="N", help="idle connections (default: %(default)s)"
    )


def _plan(options: Namespace, placement: Placement) -> Plan:
    spare, note = spare_connections(options.connections + FIRST_CONNECTIONS)

    def sample(server: Contender) -> Sample:
        # Memory that an allocator keeps would count as that of connections.
        server = replace(server, env={name: value for name, value in server.env.items() if name not in KEEP_MEMORY})
        return measure_idle(server, spare - FIRST_CONNECTIONS, placement)

    return Plan((Case("", sample),), COLUMNS, (note,) if note else ())


SCENARIO = Scenario("idle", "private memory per idle connection", ECHO_SERVERS, _add_arguments, _plan)
