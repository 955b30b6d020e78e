"""A flag that threads wait for. First come, first served, but all are woken together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pollers
from pollers import Operation, operation

from .deadline import within
from .line import Line, Place
from .lock import locked
from .scheduler import leave_to_loop
from .thread import over_at_once


class Event(pollers.Unique):
    """A flag that threads wait for. It is not set at first."""

    __slots__ = ("_line", "_set")

    def __init__(self) -> None:
        self._set = False
        self._line = Line()

    def is_set(self) -> bool:
        """Whether the flag is set, so that wait() returns at once."""
        return self._set

    def set(self) -> None:
        """Set the flag and wake all waiting threads. Any OS thread and any signal handler may call this."""
        self._set = True
        try:
            if not leave_to_loop(self._wake):
                self._wake()
        except BaseException:  # a signal handler raised
            self._wake_later()
            raise

    @locked
    def _wake(self) -> None:
        while self._line.call() is not None:
            pass

    def _wake_later(self) -> None:
        """Post _wake() to the scheduler of each waiting thread."""
        for waiter in [place.waiter for place in list(self._line.places)]:
            if waiter is not None:
                waiter.scheduler.post(self._wake)

    def clear(self) -> None:
        """Clear the flag. Threads that have been woken stay awake."""
        self._set = False

    def wait(self, timeout_s: float | None = None) -> Operation[None]:
        """Wait until the flag is set. Raises TimeoutError after `timeout_s` seconds; None: no limit.

        It returns even if the flag is cleared again before this thread runs. Raises ValueError if `timeout_s` is
        negative or NaN.
        """
        return within(timeout_s, self._wait)

    @operation
    def _wait(self) -> Generator[Any, None, None]:
        if not self._set:
            place = Place("event")
            self._line.add(place)
            if self._set:  # a signal handler has just set it
                self._line.call()
            yield from self._line.stay(place)
        elif (turn := over_at_once()) is not None:
            yield from turn.wait()

    def __repr__(self) -> str:
        return f"<Event, {'set' if self._set else f'{len(self._line)} waiting'}>"
