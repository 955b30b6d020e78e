"""Sinks: functions that take (chunk, err), with a chunk of None at the end, and return (1, None) or (None, err)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import IO, Any

from pollers import Operation

from ..calls import call, outcome
from .filter import Filter, link

Pushed = tuple[int | None, Any]
Sink = Callable[..., Any]
"""A function that returns a Pushed, or something to wait for that returns one."""


def table(chunks: list[Any] | None = None) -> tuple[Callable[..., Operation[Pushed]], list[Any]]:
    """Return a sink that appends the chunks to a list, and the list."""
    kept = [] if chunks is None else chunks

    @call
    def into_table(chunk: Any, err: Any = None) -> Generator[Any, None, Pushed]:
        if chunk is not None:
            kept.append(chunk)
        return 1, None
        yield

    return into_table, kept


def null() -> Callable[..., Operation[Pushed]]:
    """Return a sink that drops everything."""
    return simplify(lambda chunk, err: (1, None))


def error(err: Any) -> Callable[..., Operation[Pushed]]:
    """Return a sink that takes nothing and returns an error."""
    return simplify(lambda chunk, _: (None, err))


def file(handle: IO[bytes] | None, io_err: Any = None) -> Callable[..., Operation[Pushed]]:
    """Return a sink that writes to a file opened in binary mode, and closes it at the end.

    If there is no file, the sink returns the error `io_err`. Writing to a file blocks all threads. An OSError becomes
    an error.
    """
    if handle is None:
        return error(io_err or "unable to open file")

    @call
    def into_file(chunk: Any, err: Any = None) -> Generator[Any, None, Pushed]:
        try:
            if chunk is None:
                handle.close()
            else:
                handle.write(chunk)
        except OSError as failure:
            return None, str(failure)
        return 1, None
        yield

    return into_file


def simplify(snk: Sink) -> Callable[..., Operation[Pushed]]:
    """Make a sink from a fancy one. That returns 1 and the sink for the next chunk, or None for itself."""

    @call
    def simple(chunk: Any, err: Any = None) -> Generator[Any, None, Pushed]:
        nonlocal snk
        done, err_or_next = yield from outcome(snk(chunk, err))
        if not done:
            return None, err_or_next
        snk = err_or_next or snk
        return 1, None

    return simple


def chain(*filters_and_sink: Any) -> Callable[..., Operation[Pushed]]:
    """Return a sink that passes its input through filters to another sink: `chain(filter, sink)`.

    Raises TypeError if there is no filter.
    """
    filters: tuple[Filter, ...] = filters_and_sink[:-1]
    snk: Sink = filters_and_sink[-1]
    through = link(*filters)

    @call
    def filtered(chunk: Any, err: Any = None) -> Generator[Any, None, Pushed]:
        through.feed(chunk)
        while (given := through.give()) != b"":
            done, failure = yield from outcome(snk(given, err))
            if not done:
                return None, failure
            if given is None:
                break
        return 1, None

    return filtered
