"""Scenario spawn: what a small task costs, from its start until its end is noticed.

Knows counts and columns; the programs are in bench/stacks. They start a batch of 1000 tasks and then wait for
each. "return": the task ends at once, which favours stacks that start a task inside the call. "wait": the task
yields once, so that every stack has to suspend and resume it.
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
    Column("return_ns", "return: cpu ns", ratio=True, spread=True),
    Column("return_per_s", "tasks/s"),
    Column("wait_ns", "wait: cpu ns", ratio=True, spread=True),
    Column("wait_per_s", "tasks/s"),
)


def _add_arguments(parser: ArgumentParser) -> None:
    add_count(parser, 100_000, "tasks")


def _plan(options: Namespace, placement: Placement) -> Plan:
    def sample(row: Contender) -> Sample:
        return metrics_of(row, placement.server_core, "spawn", options.count)

    return Plan((Case("", sample),), COLUMNS, where=alone_on(placement.server_core))


SCENARIO = Scenario("spawn", "tasks per second, start to end", STACKS, _add_arguments, _plan, compiled=False)
