"""Results as a document: everything that is known about a run, in JSON.

Knows outcomes and files, but no scenario. The document has every sample of every round, for other
statistics later, and the command that made it. `--save` writes it, with a plot and the tables, to
bench/results.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rounds import Outcome, Spread, Trial, ratio, value
from bench.scenario import Plan, Scenario

__all__ = ["Results", "command_of", "saved_path", "write_json"]

SAVED = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Results:
    """A whole run.

    Args:
        scenario: what was measured.
        plan: how to show it.
        parameters: the command line options by name.
        machine: the facts from `machine.describe`.
        notes: what a reader must know before comparing.
        trials: one per case.
    """

    scenario: Scenario
    plan: Plan
    parameters: dict[str, object]
    machine: dict[str, object]
    notes: tuple[str, ...]
    trials: Sequence[Trial]


def command_of(results: Results) -> list[str]:
    """Return the command that made the results, as it was typed."""
    command = results.machine["command"]
    assert isinstance(command, list)
    return command


def saved_path(results: Results) -> Path:
    """Return where `--save` writes a run: one file per scenario and day. A second run that day replaces the first."""
    SAVED.mkdir(exist_ok=True)
    return SAVED / f"{results.scenario.name}-{str(results.machine['started'])[:10]}.json"


def write_json(results: Results, path: Path) -> None:
    """Write a run to a file, which is replaced. Each measured row is one line, so that people can read it, too."""
    facts = {
        "scenario": results.scenario.name,
        "parameters": results.parameters,
        "machine": results.machine,
        "notes": results.notes,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(fact, default=str)}," for name, fact in facts.items()]
    cases = ",\n".join(_case(trial, results.plan) for trial in results.trials)
    path.write_text("\n".join(["{", *lines, f' "cases": [\n{cases}\n ]', "}", ""]))


def _case(trial: Trial, plan: Plan) -> str:
    metrics = [column.metric for column in plan.columns_of(trial.case)]
    rows = ",\n".join(f"   {json.dumps(_record(outcome, trial.outcomes[0], metrics))}" for outcome in trial.outcomes)
    return f'  {{"name": {json.dumps(trial.case.name)}, "rows": [\n{rows}\n  ]}}'


def _record(outcome: Outcome, baseline: Outcome, metrics: Sequence[str]) -> dict[str, object]:
    return {
        "name": outcome.row.name,
        "version": outcome.row.version(),
        "environment": dict(outcome.row.env),
        "state": outcome.state,
        "trouble": outcome.trouble,
        "values": {metric: _spread(value(outcome, metric)) for metric in metrics},
        "ratios": {metric: _spread(ratio(outcome, baseline, metric)) for metric in metrics},
        "samples": [{name: _short(number) for name, number in sample.items()} for sample in outcome.samples],
    }


def _spread(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {"median": _short(spread.median), "min": _short(spread.least), "max": _short(spread.most)}


def _short(number: float) -> float:
    """Round a number: no measurement is exact to more than six digits."""
    return float(f"{number:.6g}")
