"""A poller whose clock jumps to the next deadline when all threads wait, and stands still while anything runs.

A clock that jumps runs ahead of everything that needs real time: the network, other processes, other OS threads. So
sockets are refused, except connected pairs, whose bytes arrive in the very moment in which they are sent, and calls in
OS threads are made in this one.
"""

from __future__ import annotations

import io
import math
import socket
from collections.abc import Callable, Collection, Generator, Hashable
from typing import Any, NoReturn

from pollers import Poller, operation

STARTS_AT_S = 1000.0


class JumpingClock:
    """Wraps any poller. An hour of sleep takes no time, and each run of a program sees the same times."""

    def __init__(self, inner: Poller) -> None:
        self._inner = inner
        self._time_s = STARTS_AT_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def streak(self) -> int:
        return self._inner.streak

    @streak.setter
    def streak(self, value: int) -> None:
        self._inner.streak = value

    @property
    def passed_s(self) -> float:
        """How much time has passed since the clock was made, in its own seconds."""
        return self._time_s - STARTS_AT_S

    def now(self) -> float:
        """Return the time of this clock, in seconds."""
        return self._time_s

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        """Return what is ready. If nothing is, let `timeout_s` pass in no time; without one, wait for an OS thread."""
        forever = timeout_s is None or timeout_s == math.inf
        waiters = self._inner.poll(None if forever else 0, limit)
        if not waiters and timeout_s and not forever:
            self._time_s = math.nextafter(self._time_s + timeout_s, math.inf)  # the sum may have been rounded down
        return waiters

    def socketpair(self, family: int, type: int, proto: int, /) -> Any:
        if family in (socket.AF_INET, getattr(socket, "AF_INET6", None)):
            self._refuse()
        return self._inner.socketpair(family, type, proto)

    def socket(self, family: int, type: int, proto: int, /) -> NoReturn:
        self._refuse()

    def adopt(self, fileno: int, /) -> NoReturn:
        self._refuse()

    def file(self, fileno: int, /) -> NoReturn:
        self._refuse()

    def foreign(self, fileno: int, writing: bool, /) -> NoReturn:
        self._refuse()

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> NoReturn:
        self._refuse()

    def share(self) -> NoReturn:
        raise RuntimeError("several OS threads cannot share a clock that jumps")

    def _refuse(self) -> NoReturn:
        raise io.UnsupportedOperation(
            "a clock that jumps would run ahead of real sockets, pipes and processes: "
            "use socketpair(), or a simulated network"
        )


class InPlace:
    """Makes blocking calls in the OS thread of the loop. No time passes meanwhile on a clock that jumps."""

    @operation
    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Generator[Any, None, Any]:
        yield from ()
        return func(*args)
