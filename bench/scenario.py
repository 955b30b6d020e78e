"""What a scenario is, so that the runner, the rounds and the report need not know any of them.

A scenario turns one server into one sample: a flat mapping of metric names, units last, to numbers.
Everything after that (medians, ratios, tables, JSON) is the same for all scenarios. A new one is a
module with a SCENARIO and a line in __main__.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.machine import Placement
from bench.roster import Server

__all__ = ["Column", "Plan", "Sample", "Scenario"]

Sample = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """How a metric is printed.

    Args:
        metric: its name in samples.
        heading: what stands above it, with the unit.
        decimals: digits after the point.
        ratio: print its ratio to the baseline as well.
        spread: print the least and the greatest ratio of all rounds as well.
    """

    metric: str
    heading: str
    decimals: int = 0
    ratio: bool = False
    spread: bool = False


@dataclass(frozen=True)
class Plan:
    """A scenario made ready: what takes one sample, and notes to print beside the results."""

    sample: Callable[[Server], Sample]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One kind of measurement.

    Args:
        name: the subcommand.
        summary: one line of help; it names what is measured.
        columns: the table, after the server's name.
        add_arguments: declares its own command line options.
        plan: made from the parsed options and the cores to use.
    """

    name: str
    summary: str
    columns: tuple[Column, ...]
    add_arguments: Callable[[ArgumentParser], None]
    plan: Callable[[Namespace, Placement], Plan]
