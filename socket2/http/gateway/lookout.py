"""How long an upstream may make us wait, and whether the client still waits as well.

One timer for each upstream connection looks after all waits on it. A wait notes only until when it may last, because
nearly all of them end at once. So a request costs no timer. What the timer finds ends the wait by closing the
connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pollers

from ...threads.scheduler import Scheduler
from ...threads.timers import Alarm

# A wait is looked at after this time, and again and again until its end.
LOOK_S = 0.5


class Lookout(Alarm):
    """`until`: how long the present wait may last, None while there is none.

    `has_expired`, `client_left`: why it has closed the connection. `client`: the descriptor of the client's connection.
    """

    __slots__ = ("_close", "_scheduler", "client", "client_left", "has_expired", "until")

    def __init__(self, scheduler: Scheduler, close: Callable[[], Any]) -> None:
        super().__init__(scheduler.timers)
        self._scheduler = scheduler
        self._close = close
        self.until: float | None = None
        self.client = -1
        self.has_expired = self.client_left = False

    def limit(self, until: float) -> None:
        """Begin a wait that may last until then."""
        self.until = until
        if self.due is None:
            self._look_again()

    def _look_again(self) -> None:
        latest = self._scheduler.now() + LOOK_S
        self.arm(latest if self.until is None else min(self.until, latest))

    def ring(self) -> None:
        """Look at the wait, outside the lock. It may have ended, or another begun."""
        if self.until is not None:
            self._scheduler.post(self._look)

    def _look(self) -> None:
        if self.until is None:
            return
        self.has_expired = self.until <= self._scheduler.now()
        self.client_left = not self.has_expired and self.client >= 0 and bool(pollers.hung_up([self.client]))
        if self.has_expired or self.client_left:
            self._close()
        else:
            self._look_again()
