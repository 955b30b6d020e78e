"""A measurement that a program makes of itself: start it on its core, and read its metrics.

Knows the line "result JSON", which such a program prints last.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError

from bench.contender import Contender
from bench.programs import BenchError, Program
from bench.stacks import BATCH

__all__ = ["add_count", "alone_on", "metrics_of"]

TIMEOUT_S = 180.0


def metrics_of(row: Contender, core: int | None, *args: object) -> dict[str, float]:
    """Run a row's program once, and return its metrics.

    Args:
        row: the row that has the command.
        core: the core to pin the program to, None for any.
        args: what to append to the command.

    Raises:
        BenchError: the program failed, or took too long.
    """
    with Program(row.name, [*row.command, *map(str, args)], core, row.env) as program:
        text = program.expect("result", TIMEOUT_S)
    try:
        metrics: dict[str, float] = json.loads(text)
    except ValueError as error:
        raise BenchError(f"{row.name}: not JSON: {text!r}") from error
    return metrics


def alone_on(core: int | None) -> str:
    """Return where such a program runs, in words."""
    return "NOT PINNED: one core only" if core is None else f"each on core {core}"


def add_count(parser: ArgumentParser, default: int, what: str) -> None:
    """Declare --count, a multiple of the batch size.

    Args:
        parser: the scenario's parser.
        default: the default number.
        what: what is counted.
    """
    parser.add_argument("--count", type=_batches, default=default, metavar="N", help=f"{what} (default: %(default)s)")


def _batches(text: str) -> int:
    count = int(text)
    if count < BATCH or count % BATCH:
        raise ArgumentTypeError(f"must be a multiple of {BATCH}")
    return count
