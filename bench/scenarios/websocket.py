"""Scenario websocket: what the echo of a small message over a WebSocket costs a server.

Knows what to read and when. The headline is CPU, for the reasons given in `echo`. The baseline is a TCP echo server
in C, which gets the same bytes without frames. Nothing is compressed.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.columns import cost_columns
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import WEBSOCKET_SERVERS
from bench.scenario import Case, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = cost_columns("message", "msg")
BASELINE = WEBSOCKET_SERVERS[0]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=int, default=64, metavar="B", help="bytes per message, at most 125 (default: 64)"
    )
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[100], metavar="N", help="busy connections (default: 100)"
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    most, note = spare_connections(max(options.connections))
    numbers = dict.fromkeys(min(number, most) for number in options.connections)
    cases = [_case(options.size, number, options, placement) for number in numbers]
    return Plan(tuple(cases), COLUMNS, (note,) if note else ())


def _case(size: int, connections: int, options: Namespace, placement: Placement) -> Case:
    def sample(server: Contender) -> Sample:
        mode = "echo" if server == BASELINE else "websocket"
        settings = settings_of(mode, connections, size, options)
        return measure_loaded(server, settings, placement).per("requests", "message")

    return Case(f"{size} B x {connections}", sample)


SCENARIO = Scenario("websocket", "WebSocket: server CPU per echoed message", WEBSOCKET_SERVERS, _add_arguments, _plan)
