"""Pollers with a clock of their own. It stands still until all threads wait, and then jumps to the next deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pollers

from .interop.peers import LIMIT_S

STARTS_AT_S = 1000.0


class HandClock:
    """A wrapper for any poller, with a clock that is set by hand. It never waits in the kernel."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.time_s = STARTS_AT_S
        self.waits: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def streak(self) -> int:
        return int(self._inner.streak)

    @streak.setter
    def streak(self, value: int) -> None:
        self._inner.streak = value

    def now(self) -> float:
        return self.time_s

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        waiters: list[Any] = self._inner.poll(0, limit)
        if not waiters and timeout_s != 0:
            if timeout_s is None:
                raise RuntimeError("all threads wait, and none has a deadline")
            self.waits.append(timeout_s)
            self.time_s = math.nextafter(self.time_s + timeout_s, math.inf)  # the sum may have been rounded down
        return waiters


class SetClock(HandClock):
    """A clock that only the test moves. It waits in the kernel, so it never runs ahead of data on their way."""

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        until = time.monotonic() + LIMIT_S
        waiters: list[Any] = self._inner.poll(0 if timeout_s == 0 else LIMIT_S, limit)
        if timeout_s != 0 and not waiters and time.monotonic() >= until:
            raise RuntimeError("all threads wait, and the test does not move the clock")
        return waiters


KINDS: dict[str, Callable[[], Any]] = {
    "bare": lambda: HandClock(pollers.choose(checked=False)),
    "select": lambda: HandClock(pollers.choose("select", checked=False)),
    "checked": lambda: HandClock(pollers.choose(checked=True)),
}
