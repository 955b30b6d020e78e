"""Results as a picture: bars of the headline metrics, or a line for each row if the scenario has an axis.

Knows matplotlib, which nothing else needs. Bars are medians, whiskers the least and the greatest
round. The baseline is a grey bar or a black line. The title has the command and the machine.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import Any

from bench.programs import BenchError
from bench.results import Results, command_of
from bench.rounds import Trial, value
from bench.scenario import Column, Line

__all__ = ["check_plotting", "write_png"]

PANEL_WIDTH_IN, ROW_HEIGHT_IN, PANEL_EDGE_IN = 4.6, 0.26, 1.0
PANELS_ABREAST = 3
TITLE_CHARACTERS_PER_IN = 13
BASELINE_COLOUR, OWN_COLOUR, OTHER_COLOUR = "#888888", "#c8442e", "#4878a8"


def check_plotting() -> None:
    """Fail now, and not after a long run, if no picture can be drawn.

    Raises:
        BenchError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise BenchError("plots need matplotlib: pip install matplotlib (or pip install -e '.[bench]')")


def write_png(results: Results, path: Path) -> None:
    """Draw a run into a file. An existing file is replaced."""
    from matplotlib import use
    from matplotlib.figure import Figure

    use("Agg")
    if results.plan.line:
        figure = Figure(figsize=(9.0, 5.5), layout="constrained")
        _lines(figure.subplots(), results.trials[0], results.plan.line)
    else:
        plan = results.plan
        panels = [(t, column) for t in results.trials for column in plan.columns_of(t.case) if column.spread]
        headlines = len(panels) // len(results.trials)
        across = headlines if headlines > 1 else min(PANELS_ABREAST, len(panels))
        down = math.ceil(len(panels) / across)
        height = max(len(trial.outcomes) for trial in results.trials) * ROW_HEIGHT_IN + PANEL_EDGE_IN
        figure = Figure(figsize=(PANEL_WIDTH_IN * across, height * down + 0.5), layout="constrained")
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for place, (trial, column) in zip(grid, panels, strict=False):
            _bars(place, trial, column)
        for place in grid[len(panels) :]:
            place.set_axis_off()
    figure.suptitle(_title(results, int(figure.get_figwidth() * TITLE_CHARACTERS_PER_IN)), fontsize=8)
    figure.savefig(path, dpi=110)


def _title(results: Results, width: int) -> str:
    facts = "{python}, {kernel}, {cpu}, {started}".format(**results.machine)
    return "\n".join(line for text in (" ".join(command_of(results)), facts) for line in wrap(text, width))


def _bars(panel: Any, trial: Trial, column: Column) -> None:
    shown = [(outcome.row.name, value(outcome, column.metric)) for outcome in trial.outcomes]
    rows = [(name, spread) for name, spread in shown if spread is not None]
    names = [name for name, _ in rows]
    medians = [spread.median for _, spread in rows]
    below = [spread.median - spread.least for _, spread in rows]
    above = [spread.most - spread.median for _, spread in rows]
    colours = [OWN_COLOUR if name.startswith("socket2") else OTHER_COLOUR for name in names]
    if names and names[0] == trial.outcomes[0].row.name:
        colours[0] = BASELINE_COLOUR
    bars = panel.barh(names, medians, xerr=[below, above], color=colours, error_kw={"elinewidth": 1, "capsize": 2})
    panel.bar_label(bars, fmt=f"%.{column.decimals}f", padding=3, fontsize=7)
    panel.invert_yaxis()
    panel.margins(x=0.15)
    panel.tick_params(labelsize=8)
    panel.set_title(f"{trial.case.name}  {column.heading}".strip(), fontsize=9)


def _lines(panel: Any, trial: Trial, line: Line) -> None:
    for outcome in trial.outcomes:
        spreads = [(place, value(outcome, metric)) for place, metric in line.metrics.items()]
        points = [(place, spread.median) for place, spread in spreads if spread is not None]
        if points:
            style: dict[str, Any] = {"linewidth": 2.5} if outcome.row.name.startswith("socket2") else {"linewidth": 1.2}
            if outcome is trial.outcomes[0]:
                style = {"color": "black", "linewidth": 2.5}
            panel.plot(*zip(*points, strict=True), marker="o", label=outcome.row.name, **style)
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_xlabel(line.axis)
    panel.set_ylabel(line.quantity)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
