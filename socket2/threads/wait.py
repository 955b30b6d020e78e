"""Waits that other code ends, and not the kernel: sleeps, suspensions, joins, places in a line, calls in OS threads.

A scheduler uses them like a poller's Direction: a thread is parked on the object, the wait can be cancelled, and it may
have ended before that. A wait ends only once. If finish() comes too late, it returns False, and its caller can wake
another thread instead.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from typing import Any

from pollers import operation

from .lock import lock
from .scheduler import Stepped


def alike(error: BaseException) -> BaseException:
    """Return a copy of an error, so that each thread that raises it has a traceback of its own.

    The waits for a shared call (osthreads.py) and the receivers of one connection (net) use it.
    """
    try:
        return copy.copy(error).with_traceback(error.__traceback__)
    except Exception:
        return error  # a class of the program whose errors cannot be copied


class Wait:
    """One thread's wait for one thing.

    A `hopeless` wait can be ended by another thread only, and not by time or the kernel. Scheduler.hopeless counts the
    threads in such waits. If all live threads are in such waits, the loop has nothing left to wait for.
    """

    __slots__ = ("done", "error", "finished", "purpose", "result", "waiter")

    hopeless = False

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.done = False  # has ended: by finish(), fail() or cancel(), or its coroutine was left by an exception
        self.finished = False  # has ended by finish() or fail()
        self.result: Any = None
        self.error: BaseException | None = None
        self.waiter: Stepped | None = None

    # A signal handler may raise after each call. So related changes are made without a call between them.

    @property
    def over(self) -> bool:
        """Whether the wait has ended, so that its thread belongs in the ready queue."""
        return self.done

    def park(self, waiter: Stepped, /) -> bool:
        """Make `waiter` wait. Return True, and do nothing else, if the wait has already ended."""
        with lock:
            if not self.done:
                self.waiter = waiter
                waiter.scheduler.hopeless += self.hopeless
            return self.done

    def cancel(self, error: BaseException, /) -> bool:
        """End the wait with `error`. Return False if it has already ended. The caller makes the thread ready."""
        with lock:
            if self.done:
                return False
            waiter, self.waiter = self.waiter, None
            if waiter is not None:
                waiter.scheduler.hopeless -= self.hopeless
            self.done, self.error = True, error
            return True

    def finish(self, result: Any = None) -> bool:
        """End the wait with `result` and put its thread into the ready queue. Return False if it has already ended."""
        with lock:
            if self.done:
                return False
            waiter = self.waiter
            if waiter is None:
                self.done, self.finished, self.result = True, True, result
                return True
            scheduler = waiter.scheduler
            slept = scheduler.rouse()  # if this raises, the wait goes on
            self.done, self.finished, self.result, self.waiter = True, True, result, None
            scheduler.hopeless -= self.hopeless
            try:
                scheduler.ready.append(waiter)
                if slept:
                    scheduler.poller.wakeup()
            except BaseException:
                scheduler.mend_later()
                raise
            return True

    def fail(self, error: BaseException) -> bool:
        """End the wait by raising `error` in its thread. Return False if it has already ended."""
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
        """Wait. Return what finish() was given, or raise what fail() or cancel() was given."""
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
            del error  # its traceback has this frame: avoid a cycle

    def __repr__(self) -> str:
        return f"<{self.purpose}>"


class Pass(Wait):
    """A wait that has ended from the start: the other threads in the ready queue run first. It can be cancelled."""

    __slots__ = ()
    over = True

    def park(self, waiter: Stepped, /) -> bool:
        return True

    def cancel(self, error: BaseException, /) -> bool:
        if not self.done:
            self.done, self.error = True, error
        return False  # the thread is in the ready queue anyway


class Suspension(Wait):
    """The wait of suspend()."""

    __slots__ = ()
    hopeless = True


class Join(Wait):
    """A wait for the end of a thread, which calls finish()."""

    __slots__ = ()
    hopeless = True
    leads = False  # whether a group waits for the thread, and cancels it if need be

    def begin(self, thread: Any) -> None:
        """Do nothing. The joins of `threadset` and of a server's connections override this.

        newthread() calls it for the join that it is given, before it starts `thread`. The start may still fail.
        """
