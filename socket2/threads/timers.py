"""The heap of timers: one for sleeps, deadlines and socket timeouts alike.

Most timers are moved or disarmed before they are due, many of them once per operation, so both only note the new
time: an entry that comes up too early goes back into the heap, one that is not wanted any more is dropped there.
Entries that have become useless are counted, and swept out when they are the larger half. Knows no thread.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .lock import lock

# Of entries in any heap: an alarm that has moved to another one's is not taken for an older entry of it.
_serials = itertools.count()

# Below this many useless entries a sweep costs more than it frees.
_SWEEP_MIN = 64


class Timers:
    """Timers by the time they are due, in seconds of the clock `now`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.heap: list[tuple[float, int, Alarm]] = []
        self.useless = 0
        self.aside = 0  # armed ones for which nobody waits: what they are about does
        self.sooner: Callable[[], Any] | None = None  # called when another entry is the first to come up

    @property
    def armed(self) -> int:
        """How many timers there are to wait for."""
        return len(self.heap) - self.useless - self.aside

    def next_due(self) -> float | None:
        """When the first entry comes up, None when there is none. It may turn out to be useless: look again then."""
        return self.heap[0][0] if self.heap else None

    def fire(self) -> int:
        """Call back the timers that are due now, none early; return how many that were.

        Callbacks are made under the lock: they change who waits for what, and run nothing of anybody else's.
        """
        now = self.now()
        heap = self.heap
        fired = 0
        with lock:
            while True:
                if not heap or heap[0][0] > now:
                    break
                when, serial, timer = heap[0]
                if timer.queued is None or timer.serial != serial or timer.due is None:
                    if timer.serial == serial:
                        timer.queued = None
                    self.useless -= 1
                    heapq.heappop(heap)
                elif timer.due > when:
                    moved = (timer.due, next(_serials), timer)  # late or not: it keeps its place among those in between
                    timer.queued, timer.serial = moved[:2]
                    heapq.heapreplace(heap, moved)
                else:
                    timer.due = None  # so the entry is useless, unless it is armed again
                    self.useless += 1
                    fired += 1
                    try:
                        timer.ring()
                    except BaseException:  # a signal handler may have raised
                        with suppress(BaseException):
                            timer.ring()
                        raise
        return fired

    # A signal handler may raise after each call. So entries and their count are changed without one in between.

    def push(self, timer: Alarm, when: float) -> None:
        """Have an entry of `timer` come up at `when`. An earlier one becomes useless."""
        serial = next(_serials)
        if timer.queued is not None:
            self.useless += 1
        timer.queued, timer.serial = when, serial
        heapq.heappush(self.heap, (when, serial, timer))
        if self.sooner is not None and self.heap[0][2] is timer:
            self.sooner()

    def sweep(self) -> None:
        """Drop the useless entries when they are the larger half."""
        if self.useless < _SWEEP_MIN or self.useless * 2 < len(self.heap):
            return
        kept = []
        for entry in self.heap:
            _, serial, timer = entry
            if timer.queued is not None and timer.serial == serial:
                if timer.due is not None:
                    kept.append(entry)
                else:
                    timer.queued = None
        heapq.heapify(kept)
        self.heap[:] = kept
        self.useless = 0


class Alarm:
    """Its `ring()` is called once when it is due. Armed, moved and disarmed in constant time, as a rule."""

    __slots__ = ("due", "queued", "serial", "timers")

    def __init__(self, timers: Timers) -> None:
        self.belong(timers)

    def belong(self, timers: Timers) -> None:
        """Be one of `timers`, not armed. An entry that others still have of it means nothing any more."""
        self.timers = timers
        self.due: float | None = None
        self.queued: float | None = None  # the time of its entry in the heap, and the entry's serial number
        self.serial = -1

    def ring(self) -> None:
        """It is due. To ring twice is to be as to ring once."""
        raise NotImplementedError

    def arm(self, when: float) -> None:
        """Be due at `when` instead of whenever it was."""
        with lock:
            queued = self.queued
            if queued is None:
                self.due = when
                self.timers.push(self, when)
                return
            if self.due is None:
                self.timers.useless -= 1
            self.due = when
            if when < queued:
                self.timers.push(self, when)
                self.timers.sweep()

    def disarm(self) -> None:
        """Not be due at all, until it is armed again."""
        with lock:
            if self.due is not None:
                self.due = None
                if self.queued is not None:
                    self.timers.useless += 1
                    self.timers.sweep()


class Timer(Alarm):
    """Calls `callback()` once when it is due."""

    __slots__ = ("callback",)

    def __init__(self, timers: Timers, callback: Callable[[], Any]) -> None:
        super().__init__(timers)
        self.callback = callback

    def ring(self) -> None:
        self.callback()


def duration(seconds: float) -> float:
    """Return a length of time as a float; raise TypeError or ValueError when it is none."""
    value = _number(seconds)
    if math.isnan(value) or value < 0:
        raise ValueError(f"a time to wait must not be negative or NaN, not {seconds!r}")
    return value


def moment(when: float) -> float:
    """Return a point in time as a float; raise TypeError or ValueError when it is none."""
    value = _number(when)
    if math.isnan(value):
        raise ValueError("a point in time must not be NaN")
    return value


def _number(value: float) -> float:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"a number of seconds is needed, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def deadline_after(timeout_s: float | None, now: Callable[[], float]) -> float | None:
    """The point in time `timeout_s` from now, by the clock `now`; None, or more than 2^31 - 1 seconds: for ever."""
    if timeout_s is None:
        return None
    seconds = _number(timeout_s)
    if math.isnan(seconds):
        raise ValueError("a timeout must not be NaN")
    return None if seconds > 2**31 - 1 else now() + max(seconds, 0)
