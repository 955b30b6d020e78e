"""What a scenario is. The runner, the rounds and the report know this, and no particular scenario.

A scenario turns one row of a roster into one sample: a mapping of metric names, with the unit last, to
numbers. Several cases (sizes, numbers of connections) share a run. Everything after that (medians,
ratios, tables, plots, JSON) is the same for all scenarios. A new scenario is a module with a SCENARIO
and a line in __main__.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.contender import Contender, Roster
from bench.machine import Placement

__all__ = ["Case", "Column", "Line", "Plan", "Sample", "Scenario"]

Sample = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """How a metric is printed. A metric that a row does not have is printed as "-".

    Args:
        metric: its name in samples.
        heading: the heading of the column, with the unit.
        decimals: the number of digits after the point.
        ratio: also print its ratio to the baseline.
        spread: also print the least and the greatest ratio of all rounds, and plot the metric.
    """

    metric: str
    heading: str
    decimals: int = 0
    ratio: bool = False
    spread: bool = False


@dataclass(frozen=True)
class Case:
    """One setting of a scenario.

    Args:
        name: its name in the tables.
        sample: takes one sample.
        columns: the columns of its table, if they are not the plan's.
    """

    name: str
    sample: Callable[[Contender], Sample]
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Line:
    """Metrics that are one quantity at several points of an axis. The plot has a line for each row, and no bars."""

    metrics: Mapping[float, str]
    axis: str
    quantity: str


@dataclass(frozen=True)
class Plan:
    """How a scenario is run and shown.

    Args:
        cases: one or more cases.
        columns: the columns of the tables, after the row's name.
        notes: notes to print with the results.
        line: how to plot it, if not as bars of the metrics with a spread.
        where: where programs run, in words, if not at the given placement.
    """

    cases: tuple[Case, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    line: Line | None = None
    where: str = ""

    def columns_of(self, case: Case) -> tuple[Column, ...]:
        """Return the columns of a case's table."""
        return case.columns or self.columns


@dataclass(frozen=True)
class Scenario:
    """One kind of measurement.

    Args:
        name: the subcommand.
        summary: one line of help that says what is measured.
        roster: the rows that can be measured, the baseline first.
        add_arguments: declares the scenario's own command line options.
        plan: makes the plan from the parsed options and the cores to use.
        compiled: whether it needs the C programs.
        tls: whether it needs those for TLS, too.
        rounds: how many rounds to make if nobody says it.
    """

    name: str
    summary: str
    roster: Roster
    add_arguments: Callable[[ArgumentParser], None]
    plan: Callable[[Namespace, Placement], Plan]
    compiled: bool = True
    tls: bool = False
    rounds: int = 5
