"""How a thread ends: it gets its outcome, its joins are finished, and crashhook() reports an error that nobody joins.

A signal handler may raise in the middle of this. Then the rest is done before its exception is raised further. Must not
know how a thread is stepped.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from weakref import WeakSet

from pollers import Cancelled

from .lock import lock
from .scheduler import Scheduler
from .thread import Outlasting, Thread, outlast, outlasting_in, report
from .wait import Join

# An attribute of an error that has left the loop: the threads that were alive then.
_WITNESSES = "_socket2_witnesses"


class Finisher:
    """Ends threads of a scheduler in one OS thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._escaping: BaseException | None = None
        self._handled: BaseException | None = None  # by the thread in whose step another one is stepped

    def _end(self, thread: Thread[object], result: Any, error: BaseException | None) -> None:
        """End `thread`, whose generator has ended. If this raises and `thread` has not changed, call it again."""
        if error is not None and self._handled is not None:
            _forget_context(error, self._handled)
        joins: Collection[Join] = ()
        joined = told = False
        try:
            with lock:
                joins = thread.joins()
                waiting = outlasting_in(joins)
                if waiting:
                    self._outlast(thread, waiting, result, error)
                    return
                # There is no call between these lines, so a signal handler raises before all of them or after them.
                thread._outcome = result if error is None else error.__traceback__
                thread._errors = None if error is None else [error]
                thread._coro = thread._context = thread.waiting_on = None  # type: ignore[assignment]
            for join in joins:  # not under the lock: the join of a server's connection closes its socket and logs
                joined = join.finish() or joined
            self._forget(thread)
            told = True
            if error is not None:
                self._tell(thread, error, joined)
        except BaseException:
            if thread.done:
                for join in joins:
                    joined = join.finish() or join.finished or joined
                self._forget(thread)
                if error is not None and not told:
                    self._tell(thread, error, joined)
            raise

    def _outlast(
        self, thread: Thread[object], waiting: list[Outlasting], result: Any, error: BaseException | None
    ) -> None:
        """Make `thread` wait for the `end()` of each Outlasting before it ends. The caller holds the lock."""
        thread._coro = outlast(waiting, result, error)
        try:
            self._go_on_after_end(thread, waiting)
        except BaseException:
            self._go_on_after_end(thread, waiting)
            raise

    def _go_on_after_end(self, thread: Thread[object], waiting: list[Outlasting]) -> None:
        for join in waiting:
            thread._drop_join(join)
        self.scheduler.threads[thread] = None
        if thread not in self.scheduler.ready:
            self.scheduler.enqueue(thread)

    def _forget(self, thread: Thread[object]) -> None:
        """Remove `thread` from the live threads. If this came before its joins, the loop might end too early."""
        scheduler = self.scheduler
        scheduler.threads.pop(thread, None)
        interruptions = scheduler.interruptions
        if interruptions.known or interruptions.scopes:
            interruptions.forget(thread)
        if scheduler.crew is not None:
            scheduler.crew.ended(thread)

    def _tell(self, thread: Thread[object], error: BaseException, joined: bool) -> None:
        """Let the error of `thread` out of the loop, drop it, or report it."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            if not _has_left_before(thread, error):
                self._escaping = error
                setattr(error, _WITNESSES, WeakSet(list(self.scheduler.threads)))
        elif isinstance(error, Cancelled) and error.meant_for is thread:
            error.meant_for = None  # it has served its purpose; avoid a cycle
        elif not joined:
            report(thread, error)

    def _escape(self) -> None:
        """Raise the KeyboardInterrupt or SystemExit that ended a thread, if there is one."""
        if self._escaping is not None:
            error, self._escaping = self._escaping, None
            try:
                raise error
            finally:
                del error  # its traceback has this frame: avoid a cycle


def _forget_context(error: BaseException, handled: BaseException) -> None:
    """Cut `handled` off the contexts of `error`. The interpreter has put it there, as if one thread called another."""
    seen = {id(error)}
    while (context := error.__context__) is not None and context is not handled and id(context) not in seen:
        seen.add(id(context))
        error = context
    if context is handled:
        error.__context__ = None


def _has_left_before(thread: Thread[object], error: BaseException) -> bool:
    """Whether `error` left the loop when another thread ended with it, and `thread` got it from there, as by a join."""
    return thread in getattr(error, _WITNESSES, ())
