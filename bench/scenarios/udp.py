"""Scenario udp: what a datagram and its answer cost a server with one socket.

Knows what to read and when. Each client has one datagram in flight. Lost datagrams are counted: the server's
receive buffer holds about 200, and with more clients the kernel drops the rest.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.columns import cost_columns
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import UDP_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = cost_columns("request", "dgram", Column("lost", "lost"))


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=50, metavar="N", help="clients (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, nargs="+", default=[64, 1024], metavar="B", help="bytes per datagram (default: 64 1024)"
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    connections, note = spare_connections(options.connections)
    cases = tuple(_case(size, connections, options, placement) for size in options.size)
    return Plan(cases, COLUMNS, (note,) if note else ())


def _case(size: int, connections: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of("udp", connections, size, options)

    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement).per("requests", "request")

    return Case(f"{size} B x {connections}", sample)


SCENARIO = Scenario("udp", "server CPU per echoed datagram", UDP_SERVERS, _add_arguments, _plan)
