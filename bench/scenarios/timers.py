"""Scenario timers: what it costs to arm a deadline and cancel it, as happens to nearly all deadlines.

Knows counts and columns; the programs are in bench/stacks. "block" is a block with a timeout, "raw" a bare
timer; both do at most 1000 between two turns of the loop. "crowd" arms all timers before it cancels the
first. Not every stack has bare timers; socket2's are internal.
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
    Column("block_ns", "block: cpu ns", ratio=True, spread=True),
    Column("raw_ns", "raw: cpu ns", ratio=True, spread=True),
    Column("crowd_ns", "crowd: cpu ns", ratio=True, spread=True),
)


def _add_arguments(parser: ArgumentParser) -> None:
    add_count(parser, 1_000_000, "timers")


def _plan(options: Namespace, placement: Placement) -> Plan:
    def sample(row: Contender) -> Sample:
        return metrics_of(row, placement.server_core, "timers", options.count)

    return Plan((Case("", sample),), COLUMNS, where=alone_on(placement.server_core))


SCENARIO = Scenario("timers", "arm and cancel a million deadlines", STACKS, _add_arguments, _plan, compiled=False)
