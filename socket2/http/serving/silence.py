"""How long a client may make its connection wait. One timer for each connection looks after all of its waits.

A wait notes only until when it may last, because nearly all of them end at once or soon. The timer finds out later. So
a request costs no timer.
"""

from __future__ import annotations

from ...threads.scheduler import Scheduler
from ...threads.scope import scope
from ...threads.timers import Alarm

# The longest wait that a timer counts. Longer limits are none.
_LONGEST_S = 2.0**31


class Silence(Alarm):
    """Cancels the scope of a connection if a wait lasts too long. `until`: when that is, None while there is no wait.

    Waits that may be shorter than `least_s`, the shortest of the usual limits, begin with limit().
    """

    __slots__ = ("_least_s", "_scheduler", "_scope", "until")

    def __init__(self, scheduler: Scheduler, block: scope, least_s: float | None) -> None:
        super().__init__(scheduler.timers)
        self.until: float | None = None
        self._scheduler = scheduler
        self._scope = block
        self._least_s = min(least_s, _LONGEST_S) if least_s is not None else _LONGEST_S
        self._look_again()

    def limit(self, until: float) -> None:
        """Begin a wait that may last until then, however short."""
        self.until = until
        self._look_again()

    def _look_again(self) -> None:
        """Look at the end of the wait, but soon enough for any that begins later without limit()."""
        latest = self._scheduler.now() + self._least_s
        self.arm(latest if self.until is None else min(self.until, latest))

    def ring(self) -> None:
        """Look whether a wait has lasted too long. It may have ended, or another begun."""
        if self.until is None or self.until > self._scheduler.now():
            self._look_again()
        else:
            self._scheduler.post(self._expire)

    def _expire(self) -> None:
        """The same outside the lock. The wait may have ended meanwhile."""
        if self.until is not None and self.until <= self._scheduler.now():
            self._scope.cancel()
        else:
            self._look_again()
