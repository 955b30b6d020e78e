"""Waits that code ends rather than the kernel: sleeps, suspensions, joins, places in a queue, calls in OS threads.

To the scheduler they are what a poller's Direction is: something a thread parks on, which can be cancelled and may
have finished first. A wait ends once; who comes too late to end it is told so, and hands its wake-up to the next.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Generator
from typing import Any, TypeVar

from pollers import Operation, operation

from .lock import lock
from .scheduler import Stepped

T = TypeVar("T")


def alike(error: BaseException) -> BaseException:
    """Return another error like this one, for another place to raise it: neither is to hold what the other comes by."""
    try:
        return copy.copy(error).with_traceback(error.__traceback__)
    except Exception:
        return error  # one of the program's own, which cannot be copied


class Wait:
    """One thread's wait for one thing. A `hopeless` one can be ended by other threads only, not by time or a kernel."""

    __slots__ = ("done", "error", "finished", "purpose", "result", "waiter")

    hopeless = False

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.done = False  # over, in whatever way
        self.finished = False  # by finish() or fail()
        self.result: Any = None
        self.error: BaseException | None = None
        self.waiter: Stepped | None = None

    # A signal handler may raise after each call. So what belongs together is changed without one in between.

    @property
    def over(self) -> bool:
        """Whether it has ended, and its thread is in the ready queue or should be."""
        return self.done

    def park(self, waiter: Stepped, /) -> bool:
        with lock:
            if not self.done:
                self.waiter = waiter
                waiter.scheduler.hopeless += self.hopeless
            return self.done

    def cancel(self, error: BaseException, /) -> bool:
        with lock:
            if self.done:
                return False
            waiter, self.waiter = self.waiter, None
            if waiter is not None:
                waiter.scheduler.hopeless -= self.hopeless
            self.done, self.error = True, error
            return True

    def finish(self, result: Any = None) -> bool:
        """End the wait with `result` and put its thread into the ready queue. False: it had ended before."""
        with lock:
            if self.done:
                return False
            waiter = self.waiter
            if waiter is None:
                self.done, self.finished, self.result = True, True, result
                return True
            scheduler = waiter.scheduler
            slept = scheduler.rouse()  # raises here, if at all, and the wait goes on
            self.done, self.finished, self.result, self.waiter = True, True, result, None
            scheduler.hopeless -= self.hopeless
            try:
                scheduler.ready.append(waiter)
                if slept:
                    scheduler.poller.wakeup()
            except BaseException:
                scheduler.doubt()
                raise
            return True

    def fail(self, error: BaseException) -> bool:
        """End the wait by raising `error` in its thread. False: it had ended before."""
        with lock:
            if self.done:
                return False
            self.error = error
            try:
                return self.finish()
            finally:
                if not self.done:
                    self.error = None

    @operation
    def wait(self) -> Generator[Any, None, Any]:
        try:
            yield self
        except BaseException:
            with lock:
                if not self.done:
                    waiter, self.waiter = self.waiter, None
                    if waiter is not None:
                        waiter.scheduler.hopeless -= self.hopeless
                    self.done = True
            raise
        if self.error is None:
            return self.result
        error, self.error = self.error, None
        try:
            raise error
        finally:
            del error  # whose traceback has this frame: no cycle

    def __repr__(self) -> str:
        return f"<{self.purpose}>"


class Pass(Wait):
    """Not a wait at all: the others in the ready queue come first. Can be cancelled as long as it lasts."""

    __slots__ = ()
    over = True

    def park(self, waiter: Stepped, /) -> bool:
        return True

    def cancel(self, error: BaseException, /) -> bool:
        if not self.done:
            self.done, self.error = True, error
        return False  # it is in the ready queue as it is


class Suspension(Wait):
    __slots__ = ()
    hopeless = True


class Join(Wait):
    __slots__ = ()
    hopeless = True

    def begin(self, thread: Any) -> None:
        """`thread`, which it joins from the beginning, is about to be started: the start itself may fail, though."""


class Turns:
    """Threads that take turns at something, in the order they came: accepting, or receiving datagrams."""

    __slots__ = ("_line", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._line: OrderedDict[Wait, None] = OrderedDict()  # any may leave, in constant time

    @operation
    def take(self, purpose: str) -> Generator[Any, None, None]:
        """Wait for the turn. Cancelled: the place in the line is given up."""
        with lock:
            if not self._taken:
                self._taken = True
                return
            wait = Wait(purpose)
            self._line[wait] = None
        try:
            yield from wait.wait()
        except BaseException:
            with lock:
                if wait in self._line:
                    del self._line[wait]
                elif wait.finished:
                    self.give()  # the turn came, and the thread was thrown out of its wait all the same
            raise

    def give(self) -> None:
        """Hand the turn to the next in line who still waits for it."""
        with lock:
            while True:
                if not self._line:
                    self._taken = False
                    return
                wait = next(iter(self._line))
                given = wait.finish()
                del self._line[wait]
                if given:
                    return

    @operation
    def through(self, purpose: str, inner: Operation[T]) -> Generator[Any, None, T]:
        """Wait for the turn, do `inner`, hand the turn on."""
        try:
            yield from self.take(purpose)
        except BaseException:
            inner.close()
            raise
        try:
            return (yield from inner)
        finally:
            self.give()
