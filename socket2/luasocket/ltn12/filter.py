"""Filters: functions from chunk to chunk. b"" out asks for more input. None in means the end; then None comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Filter = Callable[[Any], Any]


def cycle(low: Callable[..., tuple[Any, Any]], ctx: Any = None, extra: Any = None) -> Filter:
    """Make a filter from a function that keeps its state in a context: `(chunk, ctx) = low(ctx, chunk, extra)`."""

    def cycled(chunk: Any) -> Any:
        nonlocal ctx
        made, ctx = low(ctx, chunk, extra)
        return made

    return cycled


class Link:
    """A filter and its last input. It takes a chunk, and returns output until it needs the next one."""

    def __init__(self, filter: Filter) -> None:
        self._filter = filter
        self._food: Any = b""
        self._hungry = True

    def feed(self, chunk: Any) -> None:
        """Pass in the next chunk, None if there are no more."""
        self._food = chunk
        self._hungry = False

    def give(self) -> Any:
        """Return the next output chunk; b"": needs input first; None: at its end, now and from now on.

        Raises RuntimeError if the filter ends before its input does, or wants more input after the end.
        """
        if self._hungry:
            return b""
        given = self._filter(self._food)
        if (given is None) != (self._food is None) and given in (None, b""):
            raise RuntimeError(f"filter returned inappropriate {given!r}")
        if given == b"":
            self._hungry = True
        elif self._food is not None:
            self._food = b""
        return given


def chain(*filters: Filter) -> Filter:
    """Make one filter from several. Each gets the output of the one before it.

    Raises TypeError if there are none, RuntimeError if one of them ends before its input does.
    """
    if not filters:
        raise TypeError("a chain needs at least one filter")
    links = [Link(filter) for filter in filters]

    def chained(chunk: Any) -> Any:
        links[0].feed(chunk)
        at = len(links) - 1
        while at >= 0:
            given = links[at].give()
            if given == b"":
                at -= 1
            elif at == len(links) - 1:
                return given
            else:
                at += 1
                links[at].feed(given)
        return b""

    return chained


def link(*filters: Filter) -> Link:
    """Return a link for one filter, or for several."""
    return Link(filters[0] if len(filters) == 1 else chain(*filters))
