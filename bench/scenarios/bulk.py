"""Scenarios bulk and bulk-send: what it costs a server to receive, or to send, as fast as it can.

Knows what to read and when. The headline is CPU per GB (10^9 bytes). Most of it is the kernel's copy,
and on loopback the receiver is charged for part of the sender's work. Both are the same for all servers.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial

from bench.contender import Contender
from bench.machine import Placement, spare_connections
from bench.roster import SINK_SERVERS, SOURCE_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded, settings_of

__all__ = ["RECEIVE", "SEND"]

COLUMNS = (
    Column("cpu_s_per_gb", "cpu s/GB", 3, ratio=True, spread=True),
    Column("user_s_per_gb", "user", 3),
    Column("system_s_per_gb", "sys", 3),
    Column("busy_percent", "busy %"),
    Column("gb_per_s", "GB/s", 2, ratio=True, spread=True),
)
GB = 1e9


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, nargs="+", default=[1], metavar="N", help="at a time (default: 1)")
    parser.add_argument(
        "--size",
        type=int,
        default=262144,
        metavar="B",
        help="bytes per call of the load generator (default: %(default)s)",
    )
    add_times(parser)


def _plan(mode: str, options: Namespace, placement: Placement) -> Plan:
    most, note = spare_connections(max(options.connections))
    numbers = dict.fromkeys(min(number, most) for number in options.connections)
    cases = [_case(mode, number, options, placement) for number in numbers]
    return Plan(tuple(cases), COLUMNS, (note,) if note else ())


def _case(mode: str, connections: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of(mode, connections, options.size, options)

    def sample(server: Contender) -> Sample:
        loaded = measure_loaded(server, settings, placement)
        figures = loaded.per("bytes", "byte")
        return {
            **figures,
            "gb_per_s": figures["bytes_per_s"] / GB,
            "cpu_s_per_gb": figures["cpu_us_per_byte"] * GB / 1e6,
            "user_s_per_gb": figures["user_us_per_byte"] * GB / 1e6,
            "system_s_per_gb": figures["system_us_per_byte"] * GB / 1e6,
        }

    return Case(f"{connections} at a time", sample)


RECEIVE = Scenario("bulk", "server CPU per GB received, and GB/s", SINK_SERVERS, _add_arguments, partial(_plan, "bulk"))
SEND = Scenario(
    "bulk-send", "server CPU per GB sent, and GB/s", SOURCE_SERVERS, _add_arguments, partial(_plan, "bulk-send")
)
