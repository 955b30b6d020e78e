"""The kernel's part of a kqueue: knotes, the queue of the active ones, changes and scans.

After FreeBSD's sys/kern/kern_event.c: a filter is run when its knote is added, at every wake-up, and again when the
event is fetched. Comments say where xnu differs. A wake-up is noticed only by a scan, so if its condition has
become false by then, it never happened.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from .abi import ABI
from .edges import Edges
from .faults import Faults
from .filters import Report, describe, identify
from .kevent import kevent
from .knote import Knote

_SLEEP_MAX_S = 3600.0


class Kernel:
    """One kqueue, for any number of OS threads. `flavor` is "freebsd" or "macos"."""

    def __init__(self, flavor: str, faults: Faults) -> None:
        abi = self._abi = ABI[flavor]
        self._is_xnu = flavor == "macos"
        self._faults = faults
        self._edges = Edges()
        self._lock = threading.RLock()
        self._knotes: dict[tuple[int, int], Knote] = {}
        self._timers: set[Knote] = set()
        self._queue: deque[Knote] = deque()
        self._ghosts: list[Knote] = []
        self._timers_started = 0
        self._asleep: dict[int, int] = {}  # by OS thread, the number of timers started before it fell asleep
        self._ringing = self._closed = False
        self._read, self._write = abi["EVFILT_READ"], abi["EVFILT_WRITE"]
        self._user, self._timer = abi["EVFILT_USER"], abi["EVFILT_TIMER"]
        self._filters = {self._read, self._write, self._timer}
        if not faults.no_user_filter:
            self._filters.add(self._user)

    def fileno(self) -> int:
        return self._edges.fileno()

    def close(self) -> None:
        """Close it. OS threads that sleep in it keep sleeping."""
        with self._lock:
            self.abandon()

    def abandon(self) -> None:
        """Close it in a forked child, where the holder of the lock may not exist."""
        self._closed = True
        self._edges.close()

    # Changes.

    def submit(self, changes: Sequence[kevent], room: int) -> list[kevent] | None:
        """Apply the changes in order. Return None to continue with the events, or what is returned instead of them."""
        with self._lock:
            try:
                return self._submit(changes, room)
            finally:
                self._ring()

    def _submit(self, changes: Sequence[kevent], room: int) -> list[kevent] | None:
        entries: list[kevent] = []
        for change in changes:
            error = self._apply(change)
            if not error and not change.flags & self._abi["EV_RECEIPT"]:
                continue
            if len(entries) < room:
                entries.append(self._entry(change, error))
            elif error:
                raise OSError(error, os.strerror(error))
            elif not self._is_xnu:
                return []  # a receipt without room ends the call, and nobody gets it
        return entries or None

    def _entry(self, change: kevent, error: int) -> kevent:
        change.flags = self._abi["EV_ERROR"] | (change.flags if self._is_xnu else 0)
        change.data = error
        return change

    def _apply(self, change: kevent) -> int:
        """Apply one change. Return its errno."""
        abi = self._abi
        if change.filter == 0 and not self._is_xnu:
            return 0
        if change.filter not in self._filters:
            return errno.EINVAL
        both = abi["EV_ENABLE"] | abi["EV_DISABLE"]
        if change.flags & both == both:
            if not self._is_xnu:
                return errno.EINVAL
            change.flags &= ~abi["EV_ENABLE"]
        if change.filter in (self._read, self._write):
            return self._refusal(change) or self._apply_to_descriptor(change)
        return self._apply_to_knote(change, self._knotes.get((change.ident, change.filter)))

    def _refusal(self, change: kevent) -> int:
        refused = self._faults.refused.items()
        return next((number for flag, number in refused if change.flags & self._abi[flag]), 0)

    def _apply_to_descriptor(self, change: kevent) -> int:
        abi = self._abi
        file = identify(change.ident)
        knote = self._knotes.get((change.ident, change.filter))
        if knote is not None and knote.is_gone(self._edges):
            self._drop(knote)
            knote = None
        adds = change.flags & abi["EV_ADD"] and not change.flags & abi["EV_DELETE"]
        if file is None:
            return errno.EBADF if adds or not self._is_xnu else errno.ENOENT
        if knote is not None or not change.flags & abi["EV_ADD"]:
            return self._apply_to_knote(change, knote)
        if change.ident == self.fileno():
            return errno.EINVAL
        knote = self._add(Knote(change, self._kept_flags(change), abi, describe(change.ident, file)), change)
        self._edges.watch(change.ident, reading=change.filter == self._read)
        self._activate(knote)
        return 0

    def _apply_to_knote(self, change: kevent, knote: Knote | None) -> int:
        abi = self._abi
        if knote is None:
            if not change.flags & abi["EV_ADD"]:
                return errno.ENOENT
            knote = self._add(Knote(change, self._kept_flags(change), abi, None), change)
            if change.filter == self._user and change.fflags & abi["NOTE_TRIGGER"]:
                knote.fired = 1
        elif change.flags & abi["EV_DELETE"]:
            self._drop(knote)
            return 0
        else:
            self._touch(knote, change)
        if change.filter == self._timer and change.flags & abi["EV_ADD"]:
            knote.start_timer(change)
            self._timers.add(knote)
            self._timers_started += 1
        self._activate(knote)
        return 0

    def _kept_flags(self, change: kevent) -> int:
        """Return the flags that stay. EV_RECEIPT is one of them: it comes back with every event."""
        actions = 0 if self._is_xnu else 0xF
        return change.flags & ~(self._abi["EV_SYSFLAGS"] | actions)

    def _add(self, knote: Knote, change: kevent) -> Knote:
        knote.disabled = bool(change.flags & self._abi["EV_DISABLE"])
        self._knotes[knote.ident, knote.filter] = knote
        return knote

    def _touch(self, knote: Knote, change: kevent) -> None:
        """Apply a change to an existing knote. EV_ADD changes neither its mode nor whether it is disabled."""
        if change.flags & self._abi["EV_ENABLE"]:
            knote.disabled = False
        elif change.flags & self._abi["EV_DISABLE"]:
            knote.disabled = True
        knote.udata = change.udata
        if change.filter == self._user:
            knote.touch_user(change, clear_wins=not self._is_xnu)
        else:
            knote.fflags, knote.data = change.fflags, change.data

    def _drop(self, knote: Knote) -> None:
        del self._knotes[knote.ident, knote.filter]
        self._timers.discard(knote)
        if knote.queued:
            self._queue.remove(knote)
        if knote.file is not None:
            self._edges.forget(knote.ident, reading=knote.filter == self._read)
            if self._faults.stale:
                self._ghosts.append(knote)

    # Events.

    def activate(self, ident: int, filter_: int) -> None:
        """Queue a wake-up whose condition is false again by the time the event is fetched."""
        with self._lock:
            knote = self._knotes[ident, filter_]
            knote.active = True
            self._enqueue(knote)
            self._ring()

    def _activate(self, knote: Knote) -> None:
        if not knote.disabled:
            if not knote.active and knote.report() is not None:
                knote.active = True
            self._enqueue(knote)

    def _enqueue(self, knote: Knote) -> None:
        if knote.active and not knote.disabled and not knote.queued:
            knote.queued = True
            self._queue.append(knote)

    def _ring(self) -> None:
        """Keep the descriptor readable while something is queued, or a sleeper does not know of a timer."""
        wanted = bool(self._queue) or any(knew < self._timers_started for knew in self._asleep.values())
        if self._ringing != wanted:
            self._ringing = wanted
            self._edges.ring(wanted)

    def scan(self, limit: int, deadline: float | None) -> list[kevent]:
        """Return up to `limit` events. Wait for the first one until `deadline` on the monotonic clock."""
        if self._faults.one_event:
            limit = 1
        me = threading.get_ident()
        while True:
            with self._lock:
                if self._closed:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
                self._look_again()
                events = self._take(limit)
                now = monotonic()
                if not events and (deadline is None or now < deadline):
                    self._asleep[me] = self._timers_started
                self._ring()
                due = min((timer.due for timer in self._timers if timer.due is not None), default=None)
            if me not in self._asleep:
                return events
            ends = [end - now for end in (deadline, due) if end is not None]
            self._sleep(max(min(ends, default=_SLEEP_MAX_S), 0))

    def _sleep(self, timeout_s: float) -> None:
        try:
            self._edges.sleep(timeout_s)
        except (OSError, ValueError):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        finally:
            with self._lock:
                del self._asleep[threading.get_ident()]

    def _look_again(self) -> None:
        for fd, reading in self._edges.take():
            knote = self._knotes.get((fd, self._read if reading else self._write))
            if knote is not None and knote.is_gone(self._edges):
                self._drop(knote)
            elif knote is not None and knote.report() is not None:
                knote.active = True
                self._enqueue(knote)
        now = monotonic()
        for timer in self._timers:
            timer.expire(now)
            timer.active = timer.fired > 0
            self._enqueue(timer)

    def _take(self, limit: int) -> list[kevent]:
        """Go once through the queue. Level-triggered knotes go back to its tail, so that all get their turn."""
        events: list[kevent] = []
        for _ in range(len(self._queue)):
            if len(events) == limit:
                break
            knote = self._queue.popleft()
            knote.queued = False
            if knote.is_gone(self._edges):
                self._drop(knote)
                continue
            if knote.disabled:
                continue
            report = knote.report()
            if report is None and knote.has("EV_ONESHOT") and not self._is_xnu:
                report = Report(0)  # the filter is not run again for these
            if report is None:
                knote.active = False
                continue
            events.append(self._event(knote, report))
            self._delivered(knote)
        if events and self._faults.stale:
            self._add_stale(events, limit)
        return events

    def _delivered(self, knote: Knote) -> None:
        clears = knote.has("EV_CLEAR") or knote.filter == self._timer
        if clears:
            knote.fired = 0
        if knote.has("EV_ONESHOT"):
            self._drop(knote)
        elif clears or knote.has("EV_DISPATCH"):
            knote.active = False
            knote.disabled = knote.disabled or knote.has("EV_DISPATCH")
        else:
            self._enqueue(knote)

    def _event(self, knote: Knote, report: Report) -> kevent:
        flags = knote.flags | (self._abi["EV_EOF"] if report.ended else 0)
        data, fflags = (0, 0) if self._faults.no_hints else (report.data, report.error)
        return kevent(knote.ident, knote.filter, flags, fflags, data, knote.udata)

    def _add_stale(self, events: list[kevent], limit: int) -> None:
        ghosts, self._ghosts = self._ghosts, []
        told = {(event.ident, event.filter) for event in events}
        idle = (knote for knote in self._knotes.values() if knote.has("EV_CLEAR") and not knote.disabled)
        for knote in (*ghosts, *idle):
            if len(events) < limit and (knote.ident, knote.filter) not in told:
                events.append(self._event(knote, Report(0)))
