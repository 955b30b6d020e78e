"""Filters: functions from chunk to chunk. b"": more input is needed; None in: that was all; None out: that, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Filter = Callable[[Any], Any]


def cycle(low: Callable[..., tuple[Any, Any]], ctx: Any = None, extra: Any = None) -> Filter:
    """Make a filter of a function that keeps what it needs in a context: `(chunk, ctx) = low(ctx, chunk, extra)`."""

    def cycled(chunk: Any) -> Any:
        nonlocal ctx
        made, ctx = low(ctx, chunk, extra)
        return made

    return cycled


class Link:
    """A filter with what it was fed last: it is fed a chunk, and gives until it needs the next one."""

    def __init__(self, filter: Filter) -> None:
        self._filter = filter
        self._food: Any = b""
        self._hungry = True

    def feed(self, chunk: Any) -> None:
        """Give it the next chunk, None when there are no more."""
        self._food = chunk
        self._hungry = False

    def give(self) -> Any:
        """Return its next chunk; b"": it has to be fed first; None: that was all, now and from now on.

        RuntimeError when the filter ends before its input does, or wants more of what has ended.
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
    """Make one filter of many, each fed with what the one before it gives.

    TypeError when there are none; RuntimeError when one of them ends before its input does.
    """
    if not filters:
        raise TypeError("a chain has at least one filter")
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
    """One link of one filter or of many."""
    return Link(filters[0] if len(filters) == 1 else chain(*filters))
