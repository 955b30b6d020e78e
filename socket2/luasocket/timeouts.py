"""How long a call may wait: LuaSocket's two timeouts. The one that expires first ends a wait.

The block timeout applies to each single wait, the total timeout to a whole call from its start. This is what LuaSocket
documents for every system; its own builds differ.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, TypeVar

from pollers import STREAK_MAX, Operation, operation

from ..threads.loop import now
from ..threads.scheduler import current_scheduler
from ..threads.scope import timeout
from ..threads.sleeping import sleep

T = TypeVar("T")

_FOR_EVER_S = 2**31 - 1


def seconds_of(value: float | None) -> float | None:
    """Return a checked number of seconds. None: no limit; so is a negative number, or one beyond 68 years."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"number expected, got {type(value).__name__}")
    if math.isnan(value):
        raise ValueError("number of seconds expected, got nan")
    return None if value < 0 or value > _FOR_EVER_S else value


@operation
def give_way() -> Generator[Any, None, None]:
    """Let other threads run, if so many operations in a row have finished at once that it is their turn."""
    poller = current_scheduler().poller
    if poller.streak >= STREAK_MAX:
        yield from sleep(0)
        poller.streak = 0


class Timeouts:
    """A socket's timeouts in seconds; None for no limit."""

    __slots__ = ("block", "total")

    def __init__(self) -> None:
        self.block: float | None = None
        self.total: float | None = None

    def set(self, value: float | None, mode: str) -> None:
        if not isinstance(mode, str):
            raise TypeError(f"string expected, got {type(mode).__name__}")
        if mode[:1] == "b":
            self.block = seconds_of(value)
        elif mode[:1] in ("t", "r"):
            self.total = seconds_of(value)
        else:
            raise ValueError(f"invalid timeout mode {mode!r}: expected 'b' (block) or 't' (total)")

    def begin(self) -> Waits:
        """Start a call."""
        return Waits(self.block, self.total)


class Waits:
    """The waits of one call."""

    __slots__ = ("_block", "_end", "_total", "_waited")

    def __init__(self, block: float | None, total: float | None) -> None:
        self._block = block
        self._total = total
        self._end = None if total is None else now() + total
        self._waited = False

    @property
    def none(self) -> bool:
        """Whether the call must not wait at all. What cannot be done at once continues by itself."""
        return self._block == 0 or self._total == 0

    def limit(self, op: Operation[T]) -> Operation[T]:
        """Do `op`, which waits once. Raises TimeoutError if it waits too long. What needs no wait is always done."""
        return op if self._block is None and self._end is None else self._limit(op)

    def limit_first(self, op: Operation[T]) -> Operation[T]:
        """Limit a step that must be done before anything can continue by itself; a timeout of 0 does not limit it."""
        return op if self.none else self.limit(op)

    @operation
    def _limit(self, op: Operation[T]) -> Generator[Any, None, T]:
        left = self._left()
        # A peer that sends without end must not keep a call going forever.
        if left == 0 and not self.none and self._waited:
            op.close()
            raise TimeoutError
        self._waited = True
        try:
            yield from give_way()  # otherwise the time may be over once `op` has let others run
        except BaseException:
            op.close()
            raise
        with timeout(left):
            return (yield from op)

    def _left(self) -> float:
        left = math.inf if self._end is None else max(self._end - now(), 0)
        return left if self._block is None else min(left, self._block)
