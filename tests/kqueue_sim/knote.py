"""A knote: one filter on one identifier in one kqueue, and its condition."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from . import filters
from .edges import Edges
from .filters import File, Report
from .kevent import kevent


class Knote:
    """A knote is made by EV_ADD. Its mode (EV_CLEAR, EV_ONESHOT, EV_DISPATCH) never changes."""

    def __init__(self, change: kevent, flags: int, abi: Mapping[str, int], file: File | None) -> None:
        self.ident, self.filter, self.udata = change.ident, change.filter, change.udata
        self.flags = flags
        self.fflags, self.data = change.fflags, change.data
        self.file = file
        self.active = self.queued = self.disabled = False
        self.fired = 0  # EVFILT_USER: triggered; EVFILT_TIMER: expirations
        self.due: float | None = None
        self._period_s = 0.0
        self._abi = abi

    def has(self, flag: str) -> bool:
        return bool(self.flags & self._abi[flag])

    def report(self) -> Report | None:
        """Run the filter. Return its report, or None if its condition is false."""
        abi = self._abi
        if self.file is not None:
            low_water = self.data if self.fflags & abi["NOTE_LOWAT"] else 1
            look = filters.readable if self.filter == abi["EVFILT_READ"] else filters.writable
            return look(self.ident, self.file, low_water)
        if not self.fired:
            return None
        if self.filter == abi["EVFILT_TIMER"]:
            return Report(self.fired)
        return Report(self.data, error=self.fflags & abi["NOTE_FFLAGSMASK"])

    def is_gone(self, edges: Edges) -> bool:
        """Return whether its descriptor was closed. A kernel notices this at once, we notice it when we look."""
        if self.file is None:
            return False
        if not filters.is_still(self.ident, self.file):
            return True
        return self.file.is_anonymous and not edges.watches(self.ident, reading=self.filter == self._abi["EVFILT_READ"])

    # EVFILT_USER.

    def touch_user(self, change: kevent, *, clear_wins: bool) -> None:
        abi = self._abi
        if change.fflags & abi["NOTE_TRIGGER"]:
            self.fired = 1
        given = change.fflags & abi["NOTE_FFLAGSMASK"]
        how = change.fflags & abi["NOTE_FFCTRLMASK"]
        if how == abi["NOTE_FFAND"]:
            self.fflags &= given
        elif how == abi["NOTE_FFOR"]:
            self.fflags |= given
        elif how == abi["NOTE_FFCOPY"]:
            self.fflags = given
        self.data = change.data
        if clear_wins and change.flags & abi["EV_CLEAR"]:
            self.fired = 0

    # EVFILT_TIMER.

    def start_timer(self, change: kevent) -> None:
        units = {"NOTE_SECONDS": 1.0, "NOTE_MSECONDS": 1e-3, "NOTE_USECONDS": 1e-6, "NOTE_NSECONDS": 1e-9}
        unit_s = next((s for name, s in units.items() if change.fflags and change.fflags == self._abi.get(name)), 1e-3)
        at_once = self.has("EV_ONESHOT") and not change.data
        self._period_s = max(change.data, 1) * unit_s
        self.fired = 0
        self.due = monotonic() + (0 if at_once else self._period_s)

    def expire(self, now: float) -> None:
        while self.due is not None and self.due <= now:
            self.fired += 1
            self.due = None if self.has("EV_ONESHOT") else self.due + self._period_s
