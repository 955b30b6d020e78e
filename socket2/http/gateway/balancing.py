"""Which upstream gets a request: in turn, or the one with the fewest requests; not one that seems to be dead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias

from ...threads.loop import now
from .upstream import Upstream

Balance: TypeAlias = Literal["round_robin", "least_requests"]


class Balancer:
    """Chooses among upstreams. `most`: how many requests each may have at a time, None for any number."""

    __slots__ = ("_least", "_most", "_next", "upstreams")

    def __init__(self, upstreams: Sequence[Upstream], balance: Balance, most: int | None) -> None:
        """Raises ValueError if there is no such way, no upstream, or too small a limit."""
        if not upstreams:
            raise ValueError("a proxy needs at least one upstream")
        if balance not in ("round_robin", "least_requests"):
            raise ValueError(f"balance must be 'round_robin' or 'least_requests', not {balance!r}")
        if most is not None and most < 1:
            raise ValueError(f"max_requests must be at least 1, not {most!r}")
        self.upstreams = list(upstreams)
        self._least = balance == "least_requests"
        self._most = most
        self._next = 0

    def choose(self, tried: Collection[Upstream]) -> Upstream | None:
        """Return an upstream that was not tried, None without one.

        Those that are out because requests to them have failed come last. Those that fail health checks, or have as
        many requests as they may, do not come at all.
        """
        count = len(self.upstreams)
        first = self._next % count
        self._next = first + 1
        likely = self.upstreams[first]
        if likely.is_well and not (tried or likely.out_until or self._least or self._most):
            return likely
        turn = self.upstreams[first:] + self.upstreams[:first]
        fit = [
            upstream
            for upstream in turn
            if upstream.is_well and upstream not in tried and (self._most is None or upstream.active < self._most)
        ]
        if not fit:
            return None
        time = now()
        there = [upstream for upstream in fit if upstream.out_until <= time]
        if not there:
            return min(fit, key=lambda upstream: upstream.out_until)
        return min(there, key=lambda upstream: upstream.active) if self._least else there[0]
