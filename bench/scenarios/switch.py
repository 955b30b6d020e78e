"""Scenario switch: what it costs to suspend one task and resume another.

Knows counts and columns; the programs are in bench/stacks. Two tasks pass a token to each other in the cheapest
public way of each stack: suspend/resume in socket2, Event in asyncio, curio and gevent,
wait_task_rescheduled/reschedule in Trio.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.contender import Contender
from bench.inprocess import add_count, alone_on, metrics_of
from bench.machine import Placement
from bench.roster import STACKS
from bench.scenario import Case, Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("switch_ns", "cpu ns/switch", ratio=True, spread=True),
    Column("switch_per_s", "switches/s"),
)


def _add_arguments(parser: ArgumentParser) -> None:
    add_count(parser, 300_000, "switches")


def _plan(options: Namespace, placement: Placement) -> Plan:
    def sample(row: Contender) -> Sample:
        return metrics_of(row, placement.server_core, "switch", options.count)

    return Plan((Case("", sample),), COLUMNS, where=alone_on(placement.server_core))


SCENARIO = Scenario("switch", "two tasks that pass a token", STACKS, _add_arguments, _plan, compiled=False)
