"""Looks after a WebSocket from time to time: pings for a silent peer, and an end if the peer does not answer.

One timer for each WebSocket. It also finds someone who receives when the program does not, so that the peer's pings are
answered. A thread exists only while there is something to do.
"""

from __future__ import annotations

import weakref

from ...threads.loop import newthread
from ...threads.scheduler import Scheduler
from ...threads.timers import Alarm
from .entropy import unpredictable
from .wire import Wire


class Watch(Alarm):
    """Pings the peer after `interval_s` seconds without a byte of it, and gives it `timeout_s` seconds.

    From the first Close frame on, the peer has `close_s` seconds. The timer does not keep a WebSocket alive that the
    program has dropped.
    """

    __slots__ = ("_close_at", "_close_s", "_interval_s", "_pinged_at", "_scheduler", "_timeout_s", "_wire")

    def __init__(
        self, wire: Wire, scheduler: Scheduler, interval_s: float | None, timeout_s: float | None, close_s: float
    ) -> None:
        super().__init__(scheduler.timers)
        self._wire = weakref.ref(wire)
        self._scheduler = scheduler
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._close_s = close_s
        self._close_at: float | None = None
        self._pinged_at: float | None = None
        if interval_s is not None:
            self.arm(wire.heard_at + interval_s)

    def limit_the_end(self) -> None:
        """The first Close frame is to be sent."""
        self._close_at = self._scheduler.now() + self._close_s
        self.arm(self._close_at)

    def ring(self) -> None:
        self._scheduler.post(self._look)

    def _look(self) -> None:
        """Look at the peer. Called by the loop, outside of threads."""
        wire = self._wire()
        if wire is None or wire.over:
            return
        now = self._scheduler.now()
        if self._close_at is not None:
            if now < self._close_at:
                self.arm(self._close_at)
            else:
                wire.give_up("the peer has not closed in time")
            return
        if wire.unattended:
            newthread(wire.attend, name="websocket reader")
        due = self._after_ping(wire, now)
        if due is not None:
            self.arm(due)

    def _after_ping(self, wire: Wire, now: float) -> float | None:
        """Ping if it is time to. Return when to look again; None: the connection was closed, or there are no pings."""
        interval_s, timeout_s = self._interval_s, self._timeout_s
        if interval_s is None:
            return None
        if self._pinged_at is not None and (wire.heard_at > self._pinged_at or wire.ahead):
            self._pinged_at = None  # it is alive; or the program does not take what has come before the pong
        if self._pinged_at is not None and timeout_s is not None:
            if now >= self._pinged_at + timeout_s:
                wire.give_up(f"no answer to a ping within {timeout_s:g} s")
                return None
            return min(self._pinged_at + timeout_s, now + interval_s)
        if wire.ahead:
            return now + interval_s
        if now < wire.heard_at + interval_s:
            return wire.heard_at + interval_s
        wire.send_ping(unpredictable(4))
        self._pinged_at = now
        return now + (interval_s if timeout_s is None else min(interval_s, timeout_s))
