"""Results for people: a table for each case, and a progress bar during the run.

Knows rich, outcomes and columns, but no scenario. Figures are medians of the rounds. "x c" is the median
ratio to the baseline named c, "min-max" the range of that ratio. Progress is shown only on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.results import Results
from bench.rounds import Outcome, Trial, ratio, value
from bench.scenario import Column

__all__ = ["print_results", "progress"]

# Wider than any table: rich would cut figures to fit, but a narrow terminal wraps the lines.
WIDTH = 240


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on stderr. The block gets a function to call at the start of each step, with its name.

    Args:
        total: the number of steps.
    """
    bar = Progress(
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("", total=total)
        begun = 0

        def step(text: str) -> None:
            nonlocal begun
            bar.update(task, completed=begun, description=escape(text))
            begun += 1

        yield step


def print_results(results: Results, file: TextIO) -> None:
    """Print the tables and notes to a file or a terminal."""
    console = Console(file=file, width=WIDTH, highlight=False)
    for trial in results.trials:
        console.print(_table(trial, results.plan.columns_of(trial.case)))
    troubles = {
        f"{outcome.row.name}: {outcome.state}: {outcome.trouble}"
        for trial in results.trials
        for outcome in trial.outcomes
        if outcome.trouble is not None
    }
    facts = "{python}, {kernel}, {cpu}, socket2 {socket2}".format(**results.machine)
    for line in (*sorted(troubles), facts, *results.notes):
        console.print(escape(line), soft_wrap=True)


def _table(trial: Trial, columns: Sequence[Column]) -> Table:
    baseline = trial.outcomes[0]
    table = Table(box=SIMPLE_HEAD, title=trial.case.name or None, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in _headings(columns, baseline.row.name):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in trial.outcomes:
        if outcome.state == "measured":
            table.add_row(outcome.row.name, *_cells(outcome, baseline, columns))
        else:
            table.add_row(outcome.row.name, outcome.state, style="dim")
    return table


def _headings(columns: Sequence[Column], baseline: str) -> Iterator[str]:
    for column in columns:
        yield column.heading
        if column.ratio:
            yield f"x {baseline}"
        if column.spread:
            yield "min-max"


def _cells(outcome: Outcome, baseline: Outcome, columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        own = value(outcome, column.metric)
        against = ratio(outcome, baseline, column.metric)
        yield f"{own.median:.{column.decimals}f}" if own else "-"
        if column.ratio:
            yield _short(against.median) if against else "-"
        if column.spread:
            yield f"{_short(against.least)}-{_short(against.most)}" if against else "-"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"
