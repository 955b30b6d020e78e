"""Something that happens once, in an OS thread that runs no loop. Threads of any scheduler wait for it.

An Event does not fit: a loop whose threads all wait for events has nothing left to wait for, and ends.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from pollers import leakproof, operation

from .scheduler import Scheduler
from .thread import currentthread
from .wait import Wait


class Milestone:
    """It has not been reached at first. `purpose`: what the waiting threads wait for."""

    __slots__ = ("_changed", "_purpose", "_reached", "_waits")

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._changed = leakproof(threading.Lock())
        self._reached = False
        self._waits: list[tuple[Scheduler, Wait]] = []

    def reach(self) -> None:
        """Wake all threads that wait. Any OS thread may call this."""
        with self._changed:
            self._reached = True
            waits, self._waits = self._waits, []
        for scheduler, wait in waits:
            with suppress(RuntimeError):  # the loop has been shut down
                scheduler.post(wait.finish)

    @operation
    def reached(self) -> Generator[Any, None, None]:
        """Wait until it is reached. Does not wait if it has been reached already."""
        wait = Wait(self._purpose)
        with self._changed:
            if self._reached:
                return
            self._waits.append((currentthread().scheduler, wait))
        yield from wait.wait()
