"""Semaphores, and what all objects have in common that threads acquire and release: permits and a line.

Must not know who holds a permit: mutexes.py and capacity.py do.
"""

from __future__ import annotations

import operator
from collections.abc import Generator
from typing import Any

import pollers
from pollers import Operation, operation

from .deadline import within
from .line import Line, Place, WouldBlock
from .lock import lock, locked
from .scheduler import leave_to_loop
from .thread import over_at_once


class Held:
    """The result of acquire() and acquire_nowait(): a block that releases at its end what was acquired.

    It can be used once. Entering or leaving it a second time raises RuntimeError.
    """

    __slots__ = ("_entered", "_permits")

    def __init__(self, permits: Permits) -> None:
        self._permits: Permits | None = permits
        self._entered = False

    def __enter__(self) -> None:
        if self._entered or self._permits is None:
            raise RuntimeError("a block that acquire() has returned can be entered once: acquire again")
        self._entered = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        permits = self._permits
        if permits is None:
            raise RuntimeError("the end of this block has already released what acquire() had acquired")
        self._permits = None
        permits._end_block(kind is GeneratorExit)


class Permits(pollers.Unique):
    """A number of permits, and the line of the threads that wait for one.

    No permit is free while a thread waits: _settle() sees to that, and may be called at any time. A thread that is
    woken has its permit before it runs.
    """

    __slots__ = ("_free", "_line")
    _purpose = "permit"

    def __init__(self, free: int) -> None:
        self._free = free
        self._line = Line()

    def acquire(self, timeout_s: float | None = None) -> Operation[Held]:
        """Acquire, or wait for it. Return a context manager that releases it at the end of a `with` block.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation nothing has been
        acquired. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return within(timeout_s, self._acquire)

    def acquire_nowait(self) -> Held:
        """Acquire without waiting. Return the same as acquire(). Raises WouldBlock if acquire() would wait."""
        self._check()
        self._enter(False)
        try:  # out here, because a signal handler may raise where _own() begins
            return self._own()
        except BaseException:
            self._disown()
            raise

    @operation
    def _acquire(self) -> Generator[Any, None, Held]:
        self._check()
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._enter(True)
        if place is not None:
            yield from self._line.stay(place, lambda _: self._put_back())
        try:
            return self._own()
        except BaseException:
            self._disown()
            raise

    # What the kinds of permits do in their own way.

    def _check(self) -> None:
        """Raise an error if the current thread must not acquire."""

    def _own(self) -> Held:
        """Return the block of the permit that the current thread has taken, and note that it is the holder."""
        return Held(self)

    def _disown(self) -> None:
        """Release what _own() was called for, after a signal handler raised in it."""
        self._put_back()

    def _place(self) -> Place:
        return Place(self._purpose)

    def _end_block(self, dropped: bool) -> None:
        """Release at the end of a block. If `dropped`, the block was closed, perhaps by a finalizer."""
        raise NotImplementedError

    # Changes, made without a wait.

    def _enter(self, wait: bool) -> Place | None:
        """Take a permit and return None. If there is none, return a place in the line, or raise WouldBlock."""
        taken = False
        try:
            with lock:
                if self._free > 0:
                    self._free -= 1
                    taken = True
                    return None
                if not wait:
                    raise WouldBlock(f"acquire() would wait for the {self._purpose}")
                place = self._place()
                self._line.add(place)
                return place
        except BaseException:
            if taken:  # a signal handler raised
                self._put_back()
            raise

    def _put_back(self) -> None:
        """Make a permit free that was taken. The first waiting thread gets it."""
        try:
            with lock:
                self._free += 1
                if self._line.places:
                    self._settle()
        except BaseException:  # a signal handler raised
            self._settle()
            raise

    @locked
    def _settle(self) -> None:
        """Give the free permits to the waiting threads."""
        while self._free > 0 and (place := self._line.first()) is not None:
            self._free -= 1
            try:
                place.finish()
            finally:
                if not place.finished:
                    self._free += 1

    @operation
    def __aenter__(self) -> Generator[Any, None, None]:
        yield from self.acquire()

    @operation
    def __aexit__(self, kind: type[BaseException] | None, *_: object) -> Generator[Any, None, None]:
        self._end_block(kind is GeneratorExit)
        yield from ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {max(self._free, 0)} free, {len(self._line)} waiting>"


class Semaphore(Permits):
    """A number of permits, `value` at first. A thread that acquires one when there is none waits for a release.

    `with (yield from semaphore.acquire()):` or `async with semaphore:` releases the permit at the end of the block.
    Raises ValueError if `value` is negative.
    """

    __slots__ = ()
    _purpose = "semaphore"

    def __init__(self, value: int) -> None:
        if operator.index(value) < 0:
            raise ValueError(f"the value of a semaphore must not be negative, but it is {value!r}")
        super().__init__(operator.index(value))

    def release(self) -> None:
        """Release a permit, or add a new one. The first waiting thread gets it.

        Any OS thread and any signal handler may call this.
        """
        if not leave_to_loop(self._put_back):
            self._put_back()

    def _end_block(self, dropped: bool) -> None:
        self.release()
