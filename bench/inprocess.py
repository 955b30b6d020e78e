"""A measurement that a program makes of itself: start it fresh on its core, and hear its metrics.

Knows the line "result JSON", which programs of this kind end with.
"""

from __future__ import annotations

import json

from bench.programs import BenchError, Program
from bench.roster import Contender

__all__ = ["alone_on", "metrics_of"]

TIMEOUT_S = 180.0


def metrics_of(row: Contender, core: int | None, *args: object) -> dict[str, float]:
    """Run a row's program once.

    Args:
        row: whose command to run.
        core: the core to pin it to, None for any.
        args: what to append to the command.

    Raises:
        BenchError: it failed, or took too long.
    """
    with Program(row.name, [*row.command, *map(str, args)], core, row.env) as program:
        text = program.expect("result", TIMEOUT_S)
    try:
        metrics: dict[str, float] = json.loads(text)
    except ValueError as error:
        raise BenchError(f"{row.name}: not JSON: {text!r}") from error
    return metrics


def alone_on(core: int | None) -> str:
    """Where such a program runs, in words."""
    return "NOT PINNED: one core only" if core is None else f"each on core {core}"
