"""Results: a plain table for people, JSON for everything else.

Knows outcomes and columns, no scenario. Medians of the rounds; "x c" is the median ratio to the C
baseline, "min-max" the range of that ratio. The JSON holds every sample of every round, so that other
statistics can be made of it later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rounds import Outcome, Spread, ratio, value
from bench.scenario import Column, Scenario

__all__ = ["Results", "table", "write_json"]


@dataclass(frozen=True)
class Results:
    """A whole run.

    Args:
        scenario: what was measured.
        parameters: its command line options by name.
        machine: facts from `machine.describe`.
        notes: what a reader must know before comparing.
        outcomes: one per server, the baseline first.
    """

    scenario: Scenario
    parameters: dict[str, object]
    machine: dict[str, object]
    notes: tuple[str, ...]
    outcomes: Sequence[Outcome]


def table(results: Results) -> str:
    """The results as lines of text."""
    columns, baseline = results.scenario.columns, results.outcomes[0]
    measured = [outcome for outcome in results.outcomes if outcome.state == "measured"]
    unmeasured = [outcome for outcome in results.outcomes if outcome.state != "measured"]
    rows = [_headings(columns)]
    rows += [[outcome.server.name, *_cells(outcome, baseline, columns)] for outcome in measured]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += [f"{outcome.server.name}: {outcome.state}: {outcome.trouble}" for outcome in unmeasured]
    lines.append("")
    lines.append("{python}, {kernel}, {cpu}".format(**results.machine))
    lines += results.notes
    return "\n".join(lines)


def _headings(columns: Sequence[Column]) -> list[str]:
    cells = ["server"]
    for column in columns:
        cells.append(column.heading)
        if column.ratio:
            cells.append("x c")
        if column.spread:
            cells.append("min-max")
    return cells


def _cells(outcome: Outcome, baseline: Outcome, columns: Sequence[Column]) -> list[str]:
    cells: list[str] = []
    for column in columns:
        cells.append(f"{value(outcome, column.metric).median:.{column.decimals}f}")
        against = ratio(outcome, baseline, column.metric)
        if column.ratio:
            cells.append(_short(against.median) if against else "-")
        if column.spread:
            cells.append(f"{_short(against.least)}-{_short(against.most)}" if against else "-")
    return cells


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def write_json(results: Results, path: Path) -> None:
    """Write everything that is known about a run.

    Args:
        results: the run.
        path: the file; it is replaced.
    """
    document = {
        "scenario": results.scenario.name,
        "parameters": results.parameters,
        "machine": results.machine,
        "notes": results.notes,
        "servers": [_record(outcome, results.outcomes[0]) for outcome in results.outcomes],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _record(outcome: Outcome, baseline: Outcome) -> dict[str, object]:
    record: dict[str, object] = {
        "name": outcome.server.name,
        "version": outcome.server.version(),
        "environment": dict(outcome.server.env),
        "state": outcome.state,
        "trouble": outcome.trouble,
        "samples": outcome.samples,
    }
    if outcome.state == "measured":
        metrics = list(outcome.samples[0])
        record["values"] = {metric: _spread(value(outcome, metric)) for metric in metrics}
        record["ratios"] = {metric: _spread(ratio(outcome, baseline, metric)) for metric in metrics}
    return record


def _spread(spread: Spread | None) -> dict[str, float] | None:
    return {"median": spread.median, "min": spread.least, "max": spread.most} if spread else None
