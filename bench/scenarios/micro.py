"""Scenario micro: the pollers alone: submit, park, wake.

Knows the columns; the program is bench/micro.py, which says what each figure is. The baseline "bare" makes
the same system calls from Python with nothing around them. A poller in C can be faster than that.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.contender import Contender
from bench.inprocess import add_count, alone_on, metrics_of
from bench.machine import Placement, spare_connections
from bench.roster import MICRO
from bench.scenario import Case, Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("ready_ns", "ready: ns", ratio=True, spread=True),
    Column("park_ns", "park: ns", ratio=True, spread=True),
    Column("event_ns", "event: ns", ratio=True, spread=True),
    Column("wakeup_ns", "wakeup: ns", ratio=True),
)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--handles", type=int, default=100, metavar="N", help="connections that park and wake (default: %(default)s)"
    )
    add_count(parser, 200_000, "of each")


def _plan(options: Namespace, placement: Placement) -> Plan:
    handles = spare_connections(options.handles * 2)[0] // 2

    def sample(row: Contender) -> Sample:
        return metrics_of(row, placement.server_core, handles, options.count)

    notes = (
        "CPU per operation; ready: a receive that has data; park: one that has none and parks;",
        "event: its resumption, from poll() to the data; wakeup: wakeup() and the poll() that it ends",
    )
    return Plan((Case(f"{handles} handles", sample),), COLUMNS, notes, where=alone_on(placement.server_core))


SCENARIO = Scenario("micro", "pollers alone: submit, park, wake", MICRO, _add_arguments, _plan, compiled=False)
