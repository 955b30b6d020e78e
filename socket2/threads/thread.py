"""A coroutine thread: its name, its outcome, and how to wait for it or end it.

Knows how a thread ends, not how it runs: that is a member's.
"""

from __future__ import annotations

import contextvars
import sys
import traceback
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import suppress
from typing import Any

import pollers
from pollers import STREAK_MAX, Cancelled, Operation, operation

from .lock import lock
from .scheduler import Scheduler, local
from .wait import Join, Pass


def currentthread() -> Thread:
    """Return the thread that is running. RuntimeError outside one."""
    member = local.member
    if member is None or member.current is None:
        raise RuntimeError("this works inside a thread only: one made by newthread() or run()")
    current: Thread = member.current
    return current


def over_at_once(n: int = 1) -> Pass | None:
    """Count an operation that need not wait, or `n`; return what to wait for first, if so many in a row did not.

    `if (turn := over_at_once()) is not None: yield from turn.wait()`, before anything is taken: who is cancelled there
    has lost nothing.
    """
    scheduler = local.scheduler
    if scheduler is None:
        return None
    poller = scheduler.poller
    streak = poller.streak
    if streak + n <= STREAK_MAX:
        poller.streak = streak + n
        return None
    poller.streak = 0
    return Pass("others come first")


class Thread(pollers.Unique):
    """A coroutine thread. Made by newthread()."""

    __slots__ = (
        "__weakref__",
        "_context",
        "_coro",
        "_errors",
        "_name",
        "_outcome",
        "scheduler",
        "waiting_on",
    )

    def __init__(self, scheduler: Scheduler, coro: Any, name: str | None) -> None:
        self.scheduler = scheduler
        self.waiting_on: Any = None
        """What it waits for, with a repr for people; None while it runs and when it has ended."""
        self._coro = coro
        self._context = contextvars.copy_context()
        self._name = name
        # An idle connection pays for every slot, so two of them have a second use after the thread's end.
        # To be raised, one at a wait (none: each wait looks for what got lost); then the one it has ended with.
        self._errors: list[BaseException] | None = None
        self._outcome: Any = None  # its join, or several in a dict; then its result, or the traceback of its error

    @property
    def name(self) -> str:
        """For people: what newthread() was given, else the name of its function."""
        return self._name if self._name is not None else "thread"

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._coro is None

    @property
    def error(self) -> BaseException | None:
        """What it has ended with, if that was an exception; None while it has not ended."""
        return self._errors[0] if self.done and self._errors is not None else None

    def result(self) -> Any:
        """Return what the thread returned, or raise what it raised. RuntimeError while it has not ended."""
        if self._coro is not None:
            raise RuntimeError(f"{self!r} has not ended")
        if self._errors is None:
            return self._outcome
        error, traceback = self._errors[0], self._outcome
        try:
            raise error.with_traceback(traceback)
        finally:
            del self, error, traceback  # the error's traceback has this frame: no cycle

    @operation
    def join(self) -> Generator[Any, None, Any]:
        """Wait for the thread's end; return or raise what result() does, also Cancelled, if the thread was cancelled.

        A timeout or cancel ends the wait and leaves the thread alone. RuntimeError for joining oneself, or a thread of
        another OS thread's scheduler.
        """
        if self._coro is not None:
            joiner = currentthread()
            if joiner is self:
                raise RuntimeError(f"{self!r} cannot join itself")
            if joiner.scheduler is not self.scheduler:
                raise RuntimeError(f"{self!r} belongs to another OS thread's scheduler and cannot be joined from here")
            del joiner  # who is cancelled here has an error with this frame: no cycle
            join = Join(f"join of {self.name!r}")
            if self._add_join(join):
                try:
                    yield from join.wait()
                finally:
                    self._drop_join(join)
        elif (turn := over_at_once()) is not None:
            yield from turn.wait()
        try:
            return self.result()
        finally:
            del self

    def _add_join(self, join: Join) -> bool:
        """Have `join` finished when the thread ends; False: it has."""
        with lock:
            if self._coro is None:
                return False
            joins = self._outcome
            if joins is None:
                self._outcome = join
            elif type(joins) is dict:
                joins[join] = None
            else:
                self._outcome = {joins: None, join: None}
            return True

    def _drop_join(self, join: Join) -> None:
        with lock:
            if self._coro is not None:
                joins = self._outcome
                if joins is not join:
                    del joins[join]  # any may leave, in constant time
                if not joins or joins is join:
                    self._outcome = None

    def joins(self) -> Collection[Join]:
        """Who is told of its end, which has not come yet."""
        joins = self._outcome
        return joins if type(joins) is dict else () if joins is None else (joins,)

    def cancel(self) -> bool:
        """Raise Cancelled in the thread at the wait it is in, or at its next one; return False if it had ended.

        Does not wait for that: join() does. An operation that has finished already is delivered first, never thrown
        away. Called again, it may interrupt the thread's cleanup. From any OS thread, and from a signal handler.
        """
        if self._coro is None:
            return False
        if self.scheduler.at_hand():
            return self._cancel()
        self.scheduler.post(self._cancel)
        return True

    def _cancel(self) -> bool:
        with lock:
            if self._coro is None:
                return False
            if not any(isinstance(error, Cancelled) and error.meant_for is self for error in self._errors or ()):
                error = Cancelled(f"{self.name} was cancelled")
                error.meant_for = self
                self.scheduler.interrupt(self, error)
            return True

    def __repr__(self) -> str:
        state = "ended" if self.done else f"waiting: {self.waiting_on!r}" if self.waiting_on else "running"
        return f"<thread {self.name!r}, {state}>"


def crashhook(thread: Thread, error: BaseException) -> None:
    """Report an exception that nobody joins, with its traceback, on stderr. Assign another function to change that.

    It is looked up as `socket2.thread.crashhook` each time. What it raises itself is printed, and the loop goes on.
    """
    if sys.stderr is not None:
        print(f"exception in thread {thread.name!r}, which nobody joins:", file=sys.stderr)
        traceback.print_exception(error, file=sys.stderr)


class Outlasting(Join):
    """Has a thread wait for `end()` before it ends: a join of it, but for what is done with it."""

    __slots__ = ("end",)

    def __init__(self, end: Callable[[], Operation[Any]]) -> None:
        super().__init__("end of a thread")
        self.end = end


def outlast(thread: Thread, result: Any, error: BaseException | None) -> Generator[Any, None, Any] | None:
    """What a thread still has to do when its function has ended: wait for others. It keeps its outcome."""
    waiting = [join for join in thread.joins() if isinstance(join, Outlasting)]
    if not waiting:
        return None
    for join in waiting:
        thread._drop_join(join)
    return _outlast(waiting, result, error)


def _outlast(waiting: list[Outlasting], result: Any, error: BaseException | None) -> Generator[Any, None, Any]:
    try:
        for join in waiting:
            yield from join.end()
        if error is not None:
            raise error
        return result
    finally:
        del error


@operation
def all_ended(threads: Iterable[Thread]) -> Generator[Any, None, None]:
    """Wait until these have ended, whatever comes. What was to interrupt that is raised then, one now and one a wait.

    What they have ended with is not looked at, and counts as seen.
    """
    interruptions: list[BaseException] = []
    for thread in threads:
        while not thread.done:
            join = Join(f"end of {thread.name!r}")
            try:
                if thread._add_join(join):
                    yield from join.wait()
            except Cancelled as error:
                interruptions.append(error)
            finally:
                thread._drop_join(join)
    for later in interruptions[1:]:
        me = currentthread()
        me.scheduler.interrupt(me, later)
    try:
        if interruptions:
            raise interruptions[0]
    finally:
        interruptions.clear()  # whose tracebacks have this frame: no cycle


def report(thread: Thread, error: BaseException) -> None:
    """Call crashhook(), whatever becomes of it."""
    with suppress(Exception):  # with stderr broken there is nobody left to tell
        try:
            crashhook(thread, error)
        except Exception:
            traceback.print_exc()
