"""Scenario import: what it costs to import a stack, in time and memory.

Knows the columns; the program is bench/fresh_import.py. Each stack is imported once before the measurement,
so its compiled files exist and are in the page cache. "socket" is the standard library's module, which
every stack imports.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bench.contender import Contender
from bench.inprocess import alone_on, metrics_of
from bench.machine import Placement
from bench.roster import IMPORTS
from bench.scenario import Case, Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("cpu_ms", "cpu ms", 1, ratio=True, spread=True),
    Column("wall_ms", "wall ms", 1),
    Column("mib", "private MiB", 1, ratio=True, spread=True),
    Column("modules", "modules"),
)


def _add_arguments(parser: ArgumentParser) -> None:
    pass


def _plan(options: Namespace, placement: Placement) -> Plan:
    def sample(row: Contender) -> Sample:
        metrics_of(row, placement.server_core)
        return metrics_of(row, placement.server_core)

    return Plan((Case("", sample),), COLUMNS, where=alone_on(placement.server_core))


SCENARIO = Scenario("import", "import time and memory of each stack", IMPORTS, _add_arguments, _plan, compiled=False)
