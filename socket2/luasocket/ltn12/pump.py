"""Pumps: they move chunks from a source to a sink."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ...threads.thread import over_at_once
from ..calls import call, outcome
from .sink import Pushed, Sink
from .source import Source


@call
def step(src: Source, snk: Sink) -> Generator[Any, None, Pushed]:
    """Move one chunk; return (1, None), at the end of the source (None, None), or (None, err).

    The sink also gets the source's end, and its error. A cancellation may lose a chunk between the two.
    """
    chunk, src_err = yield from outcome(src())
    done, snk_err = yield from outcome(snk(chunk, src_err))
    if chunk is not None and done:
        return 1, None
    return None, src_err if src_err is not None else snk_err


@call
def all(src: Source, snk: Sink, step: Callable[[Source, Sink], Any] = step) -> Generator[Any, None, Pushed]:
    """Move everything from a source to a sink, a `step` at a time; return (1, None) or (None, err)."""
    while True:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        done, err = yield from outcome(step(src, snk))
        if not done:
            return (None, err) if err is not None else (1, None)
