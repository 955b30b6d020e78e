"""Scenario http: what a small request over a kept connection costs an HTTP server.

Knows what to read and when. The headline is CPU, for the reasons given in `echo`. Most benchmarks send the same head
each time, which some servers recognise; in the other case a cookie differs in each request.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.columns import cost_columns
from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import HTTP_SERVERS
from bench.scenario import Case, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["SCENARIO"]

COLUMNS = cost_columns("request", "req")
BODY_BYTES = 13
HEADS = {"http": "same head", "http-varied": "changing head"}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[100], metavar="N", help="busy connections (default: 100)"
    )
    parser.add_argument(
        "--heads", nargs="+", choices=HEADS, default=list(HEADS), help="whether requests differ (default: both)"
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    most, note = spare_connections(max(options.connections))
    numbers = dict.fromkeys(min(number, most) for number in options.connections)
    cases = [_case(mode, number, options, placement) for mode in options.heads for number in numbers]
    return Plan(tuple(cases), COLUMNS, (note,) if note else ())


def _case(mode: str, connections: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of(mode, connections, BODY_BYTES, options)

    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement).per("requests", "request")

    return Case(f"{HEADS[mode]} x {connections}", sample)


SCENARIO = Scenario("http", "HTTP/1.1: server CPU per small request", HTTP_SERVERS, _add_arguments, _plan)
