"""Scenario bulk: what reading as much as the network brings costs a server, one way.

Knows what to read and when. CPU per GB (10^9 bytes) is the headline. Most of it is the kernel's copy,
and on loopback the sender's work is partly done in the receiver's name; both alike for all.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.loaded import add_times, measure_loaded, settings_of
from bench.machine import Placement, spare_connections
from bench.roster import SINK_SERVERS, Contender
from bench.scenario import Case, Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

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
    parser.add_argument("--size", type=int, default=262144, metavar="B", help="bytes per send (default: %(default)s)")
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    most, note = spare_connections(max(options.connections))
    cases = [_case(number, options, placement) for number in options.connections if number <= most]
    return Plan(tuple(cases), COLUMNS, (note,) if note else ())


def _case(connections: int, options: Namespace, placement: Placement) -> Case:
    settings = settings_of("bulk", connections, options.size, options)

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


SCENARIO = Scenario("bulk", "server CPU per GB received, and GB/s", SINK_SERVERS, _add_arguments, _plan)
