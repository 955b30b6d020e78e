"""The heap of timers for sleeps, deadlines and socket timeouts.

Most timers are moved or disarmed before they are due, many of them once per operation. So moving or disarming only
notes the new time. When an entry comes up too early, it goes back into the heap; if it is no longer wanted, it is
dropped. Useless entries are counted, and swept out when they are the majority. Must not know threads.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .lock import lock

# Serial numbers of entries, unique in all heaps: an alarm may move to another heap, and leave its old entry behind.
_serials = itertools.count()

# With fewer useless entries a sweep costs more than it frees.
_SWEEP_MIN = 64


class Timers:
    """The timers of one scheduler, in the order in which they are due. `now` is their clock, in seconds."""

    __slots__ = ("aside", "heap", "now", "sooner", "useless")  # for limit.c

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.heap: list[tuple[float, int, Alarm]] = []
        self.useless = 0
        self.aside = 0  # armed timers that do not keep the loop running
        self.sooner: Callable[[], Any] | None = None  # called when a new entry is the first to come up

    @property
    def armed(self) -> int:
        """How many timers keep the loop running."""
        return len(self.heap) - self.useless - self.aside

    def next_due(self) -> float | None:
        """Return the time at which the first entry comes up, or None. That entry may turn out to be useless."""
        return self.heap[0][0] if self.heap else None

    def fire(self) -> int:
        """Ring the timers that are due now, and none early. Return how many rang.

        They ring under the lock, because they change which thread waits for what. They run no code of the program.
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
                    moved = (timer.due, next(_serials), timer)  # also if it is due by now: earlier ones ring first
                    timer.queued, timer.serial = moved[:2]
                    heapq.heapreplace(heap, moved)
                else:
                    timer.due = None  # the entry is now useless, unless ring() arms it again
                    self.useless += 1
                    fired += 1
                    try:
                        timer.ring()
                    except BaseException:  # a signal handler may have raised
                        with suppress(BaseException):
                            timer.ring()
                        raise
        return fired

    # A signal handler may raise after each call. So entries and their count are changed without a call between them.

    def push(self, timer: Alarm, when: float) -> None:
        """Add an entry for `timer` that comes up at `when`. An existing entry becomes useless."""
        serial = next(_serials)
        if timer.queued is not None:
            self.useless += 1
        timer.queued, timer.serial = when, serial
        heapq.heappush(self.heap, (when, serial, timer))
        if self.sooner is not None and self.heap[0][2] is timer:
            self.sooner()

    def sweep(self) -> None:
        """Drop the useless entries if they are the majority."""
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
    """A timer whose `ring()` is called when it is due. Arming, moving and disarming usually take constant time."""

    __slots__ = ("due", "queued", "serial", "timers")

    def __init__(self, timers: Timers) -> None:
        self.belong(timers)

    def belong(self, timers: Timers) -> None:
        """Become one of `timers`, and not armed. Entries in another heap do not count any more."""
        self.timers = timers
        self.due: float | None = None
        self.queued: float | None = None  # the time of its entry in the heap, and the entry's serial number
        self.serial = -1

    def ring(self) -> None:
        """Called when it is due. If a signal handler raises, this is called again, which must have no second effect."""
        raise NotImplementedError

    def arm(self, when: float) -> None:
        """Make it due at `when`. This replaces the time that was set before."""
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
        """Take back the time: it is not due until it is armed again."""
        if self.due is not None:
            with lock:
                self._disarm()

    def _disarm(self) -> None:
        """Do the same for a caller that holds the lock."""
        if self.due is not None:
            self.due = None
            if self.queued is not None:
                timers = self.timers
                timers.useless += 1
                if timers.useless >= _SWEEP_MIN:
                    timers.sweep()


class Timer(Alarm):
    """Calls `callback()` when it is due."""

    __slots__ = ("callback",)

    def __init__(self, timers: Timers, callback: Callable[[], Any]) -> None:
        super().__init__(timers)
        self.callback = callback

    def ring(self) -> None:
        self.callback()


# float() accepts these, but they are no times.
_TEXTS = (str, bytes, bytearray)


def duration(seconds: float) -> float:
    """Return a length of time in seconds as a float.

    Raises TypeError if `seconds` is not a number; ValueError if it is negative or NaN.
    """
    value = _number(seconds)
    if not value >= 0:  # this is true for NaN, too
        raise ValueError(f"a number of seconds must not be negative or NaN, but it is {seconds!r}")
    return value


def moment(when: float) -> float:
    """Return a point in time in seconds as a float.

    Raises TypeError if `when` is not a number; ValueError if it is NaN.
    """
    value = _number(when)
    if math.isnan(value):
        raise ValueError("a point in time must not be NaN")
    return value


def _number(value: float) -> float:
    if isinstance(value, _TEXTS):
        raise TypeError(f"a time must be a number of seconds, not {value!r}")
    try:
        return float(value)
    except TypeError:
        raise TypeError(f"a time must be a number of seconds, not {value!r}") from None
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def deadline_after(timeout_s: float | None, now: Callable[[], float]) -> float | None:
    """Return the point in time `timeout_s` seconds from now, on the clock `now`.

    A negative timeout counts as 0. Return None, which means no deadline, for None and for more than 2^31 - 1 seconds.
    Raises TypeError if `timeout_s` is not a number; ValueError if it is NaN.
    """
    if timeout_s is None:
        return None
    seconds = _number(timeout_s)
    if math.isnan(seconds):
        raise ValueError("a timeout must not be NaN")
    return None if seconds > 2**31 - 1 else now() + max(seconds, 0)
