"""What a scenario is, so that the runner, the rounds and the report need not know any of them.

A scenario turns one row of a roster into one sample: a flat mapping of metric names, units last, to
numbers. Several cases (sizes, numbers of connections) share a run. Everything after that (medians,
ratios, tables, plots, JSON) is the same for all scenarios. A new one is a module with a SCENARIO and a
line in __main__.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.machine import Placement
from bench.roster import Contender, Roster

__all__ = ["Case", "Column", "Line", "Plan", "Sample", "Scenario"]

Sample = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """How a metric is printed. A metric that a row does not have is printed as "-".

    Args:
        metric: its name in samples.
        heading: what stands above it, with the unit.
        decimals: digits after the point.
        ratio: print its ratio to the baseline as well.
        spread: print the least and the greatest ratio of all rounds as well, and plot it.
    """

    metric: str
    heading: str
    decimals: int = 0
    ratio: bool = False
    spread: bool = False


@dataclass(frozen=True)
class Case:
    """One setting of a scenario: what the tables call it, and what takes one sample."""

    name: str
    sample: Callable[[Contender], Sample]


@dataclass(frozen=True)
class Line:
    """Metrics that are one quantity at several places of an axis: plotted as a line for each row, not as bars."""

    metrics: Mapping[float, str]
    axis: str
    quantity: str


@dataclass(frozen=True)
class Plan:
    """A scenario made ready.

    Args:
        cases: at least one.
        columns: the table, after the row's name.
        notes: to print beside the results.
        line: how to plot it, when not as bars of the metrics with a spread.
        where: where programs run, in words, when that is not the placement it was given.
    """

    cases: tuple[Case, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    line: Line | None = None
    where: str = ""


@dataclass(frozen=True)
class Scenario:
    """One kind of measurement.

    Args:
        name: the subcommand.
        summary: one line of help; it names what is measured.
        roster: what can be measured, the baseline first.
        add_arguments: declares its own command line options.
        plan: made from the parsed options and the cores to use.
        compiled: whether it needs the C programs.
    """

    name: str
    summary: str
    roster: Roster
    add_arguments: Callable[[ArgumentParser], None]
    plan: Callable[[Namespace, Placement], Plan]
    compiled: bool = True
