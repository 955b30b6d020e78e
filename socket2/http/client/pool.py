"""The connections of a client: which are idle, how many there are, and which thread may have the next one.

The latest idle connection is used first, so that the others grow old and are closed. Threads that must wait are served
in their order. The state is changed under the lock, in functions that do not wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pollers

from ...threads.line import Line, Place
from ...threads.lock import locked
from ...threads.loop import now
from ...threads.scheduler import Scheduler, current_scheduler
from ...threads.thread import currentthread
from .connection import Connection, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections a client may have. Further requests wait for their turn.

    `total`: to all servers together; None for no limit. `per_origin`: to one scheme, host and port. `idle`: how many
    unused ones are kept. `idle_s`: for how many seconds one is kept. Raises ValueError if a limit is too small.
    """

    total: int | None = 100
    per_origin: int | None = 10
    idle: int = 20
    idle_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("total", "per_origin"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        if self.idle < 0 or not self.idle_s >= 0:
            raise ValueError("idle and idle_s must not be negative")


class _Turn(Place):
    """The place of a thread that waits for a connection. It is woken with one, or with None: it may make one."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        super().__init__("connection of an HTTP client")
        self.key = key


class Pool(pollers.Unique):
    """The connections of one client. A thread that acquires one, or the right to make one, must release it."""

    __slots__ = ("_idle", "_limits", "_line", "_scheduler", "_used", "closed")

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._idle: list[Connection] = []  # the latest one is at the end
        self._used: Counter[Key] = Counter()  # those that threads have, and rights to make one
        self._line = Line()
        self._scheduler: Scheduler | None = None
        self.closed = False

    def acquire(self, key: Key, fresh: bool = False) -> Generator[Any, None, Connection | None]:
        """Return an idle connection, or None: the thread may make one. Waits for its turn if there are too many.

        `fresh`: the connections to this server that are idle now are closed first. A cancellation leaves nothing.
        Raises RuntimeError if the pool was closed, or if it has connections in another loop.
        """
        currentthread()
        turn = self._enter(key, fresh)
        if not isinstance(turn, _Turn):
            return turn
        found: Connection | None = yield from self._line.stay(turn, lambda conn: self.release(key, conn))
        return found

    @locked
    def _enter(self, key: Key, fresh: bool) -> Connection | _Turn | None:
        self._settle_in()
        self._close_old()
        if fresh:
            for conn in [conn for conn in self._idle if conn.key == key]:
                self._drop(conn)
        if not self._has_waiting(key) and self._can_have(key):
            return self._take(key)
        turn = _Turn(key)
        self._line.add(turn)
        return turn

    def _settle_in(self) -> None:
        """Note in which loop the pool is used. The connections of a loop that has ended are of no use."""
        if self.closed:
            raise RuntimeError("the client has been closed")
        scheduler = current_scheduler()
        if self._scheduler is not scheduler:
            if self._used.total():
                raise RuntimeError("this client is in use in another loop: make one for each loop")
            for conn in list(self._idle):
                self._drop(conn)
            self._scheduler = scheduler

    def _has_waiting(self, key: Key) -> bool:
        """Whether a thread that came earlier waits for what a request with this key would take."""
        waiting = [place.key for place in self._line.places if isinstance(place, _Turn) and not place.done]
        return key in waiting or any(not self._is_full(other) for other in waiting)

    def _is_full(self, key: Key) -> bool:
        """Whether there are as many connections with this key as there may be, and threads have all of them."""
        most = self._limits.per_origin
        return most is not None and self._used[key] >= most

    def _can_have(self, key: Key) -> bool:
        total = self._limits.total
        return not self._is_full(key) and (total is None or self._used.total() < total)

    def _take(self, key: Key) -> Connection | None:
        """Return an idle connection, None for the right to make one, for which an idle one may have to go."""
        found = next((conn for conn in reversed(self._idle) if conn.key == key), None)
        self._used[key] += 1
        if found is not None:
            self._idle.remove(found)
            return found
        total = self._limits.total
        while total is not None and self._idle and self._used.total() + len(self._idle) > total:
            self._drop(self._idle[0])
        return None

    def release(self, key: Key, conn: Connection | None) -> None:
        """Give a connection back, which is usable, or None: it was closed, or was never made."""
        kept = False
        try:
            kept = self._release(key, conn)
        finally:
            if conn is not None and not kept:
                conn.close()

    @locked
    def _release(self, key: Key, conn: Connection | None) -> bool:
        self._forget(key)
        kept = conn is not None and not self.closed and not conn.sock.closed
        if conn is not None and kept:
            self._idle.append(conn)
        self._call()
        self._close_old()
        while len(self._idle) > self._limits.idle:
            self._drop(self._idle[0])
        return kept

    def _call(self) -> None:
        """Give what there is to the threads that wait, the first ones first."""
        for place in list(self._line.places):
            if not isinstance(place, _Turn) or place.done or not self._can_have(place.key):
                continue
            given = self._take(place.key)
            self._line.places.pop(place, None)
            if not place.finish(given):
                self._forget(place.key)
                if given is not None:
                    self._idle.append(given)

    def _forget(self, key: Key) -> None:
        self._used[key] -= 1
        if not self._used[key]:
            del self._used[key]

    def _close_old(self) -> None:
        oldest = now() - self._limits.idle_s
        while self._idle and self._idle[0].idle_since <= oldest:
            self._drop(self._idle[0])

    def _drop(self, conn: Connection) -> None:
        self._idle.remove(conn)
        conn.close()

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return len(self._idle)

    @property
    def used(self) -> int:
        """How many connections threads have, or may make."""
        return self._used.total()

    @locked
    def close(self) -> None:
        """Close the idle connections, and those in use when they are given back. Threads that wait get an error."""
        self.closed = True
        for conn in list(self._idle):
            self._drop(conn)
        self._line.dissolve(lambda: RuntimeError("the client has been closed"))

    def __repr__(self) -> str:
        return f"<Pool, {self.used} used, {self.idle} idle, {len(self._line)} waiting>"
