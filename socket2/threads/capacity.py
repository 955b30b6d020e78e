"""A limit for how many threads, or calls in OS threads, do something at the same time.

Knows who has borrowed a token. Must not know OS threads: osthreads.py borrows tokens for its calls.
"""

from __future__ import annotations

import operator
from collections.abc import Generator
from functools import partial
from typing import Any

from pollers import operation

from .line import Place
from .lock import lock, locked
from .scheduler import leave_to_loop
from .semaphores import Held, Permits
from .thread import Thread, currentthread, is_closing, over_at_once


class _LimiterPlace(Place):
    """It is not `hopeless` if a call in an OS thread may have the token."""

    __slots__ = ("hopeless",)

    def __init__(self, purpose: str, hopeless: bool) -> None:
        super().__init__(purpose)
        self.hopeless = hopeless


class CapacityLimiter(Permits):
    """A number of tokens, `total`, that threads borrow one by one. A thread that borrows one when there is none waits.

    `with (yield from limiter.acquire()):` or `async with limiter:` gives the token back at the end of the block. Unlike
    a semaphore it knows the borrowers: acquire() raises RuntimeError in a thread that has a token, and release() in one
    that has none. `call_in_thread(func, limiter=limiter)` borrows a token for the call. Raises ValueError if `total` is
    negative. (trio's CapacityLimiter)
    """

    __slots__ = ("_borrowers", "_limits_calls", "_total")
    _purpose = "capacity limiter"

    def __init__(self, total: int) -> None:
        self._total = _checked(total)
        super().__init__(self._total)
        self._borrowers: dict[Any, None] = {}  # threads, and what stands for calls
        self._limits_calls = False

    @property
    def total(self) -> int:
        """How many tokens there are. It can be changed at any time.

        If it becomes less than `borrowed`, nobody loses a token, and waiting threads get none until enough are back.
        """
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        total = _checked(total)
        try:
            with lock:
                self._free, self._total = self._free + total - self._total, total
                self._settle()
        except BaseException:  # a signal handler raised
            self._settle()
            raise

    @property
    def borrowed(self) -> int:
        """How many tokens are borrowed. A thread that has just been woken has its token."""
        return self._total - self._free

    @property
    def available(self) -> int:
        """How many tokens are free."""
        return max(self._free, 0)

    def release(self) -> None:
        """Give the token of the current thread back. The first waiting thread gets it.

        Raises RuntimeError if the thread has not borrowed one.
        """
        if currentthread() not in self._borrowers:
            raise RuntimeError(f"{currentthread().name!r} has not borrowed a token of this limiter")
        self._give_back(currentthread())

    @operation
    def _borrow_for(self, call: object) -> Generator[Any, None, None]:
        """Borrow a token for a call in an OS thread."""
        self._limit_calls()
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._enter(True)
        if place is not None:
            yield from self._line.stay(place, lambda _: self._put_back())
        self._borrowers[call] = None

    def _give_back(self, borrower: object) -> None:
        """Give a token back, if `borrower` has one. Any OS thread may call this."""
        try:
            with lock:
                if borrower in self._borrowers:
                    del self._borrowers[borrower]
                    self._free += 1
                    self._settle()
        except BaseException:  # a signal handler raised
            self._settle()
            raise

    def _check(self) -> None:
        if currentthread() in self._borrowers:
            raise RuntimeError(f"{currentthread().name!r} has already borrowed a token of this limiter")

    def _own(self) -> Held:
        self._borrowers[currentthread()] = None
        return Held(self)

    def _disown(self) -> None:
        me = currentthread()
        if me in self._borrowers:
            self._give_back(me)
        else:
            self._put_back()

    def _place(self) -> Place:
        return _LimiterPlace(self._purpose, not self._limits_calls)

    @locked
    def _limit_calls(self) -> None:
        """From now on a call in an OS thread may have the token that a thread waits for."""
        if self._limits_calls:
            return
        self._limits_calls = True
        for place in self._line.places:
            if isinstance(place, _LimiterPlace) and place.hopeless:
                place.hopeless = False
                if place.waiter is not None:
                    place.waiter.scheduler.hopeless -= 1

    def _end_block(self, dropped: bool) -> None:
        if not dropped:
            self.release()
            return
        for one in list(self._borrowers):
            if isinstance(one, Thread) and is_closing(one) and not leave_to_loop(partial(self._give_back, one)):
                self._give_back(one)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {self.borrowed} of {self._total} borrowed, {len(self._line)} waiting>"


def _checked(total: int) -> int:
    if operator.index(total) < 0:
        raise ValueError(f"the total of a limiter must not be negative, but it is {total!r}")
    return operator.index(total)
