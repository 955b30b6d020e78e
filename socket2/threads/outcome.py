"""How a thread ends: it gets its outcome, everybody who joins it is told, and an error that nobody joins is reported.

A signal handler may raise in the midst of that. Then what is left to do is done all the same, before the exception goes
its way. Must not know how a thread is stepped.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pollers import Cancelled

from .lock import lock
from .scheduler import Scheduler
from .thread import Outlasting, Thread, outlast, report
from .wait import Join


class Finisher:
    """Ends threads of a scheduler in one OS thread."""

    __slots__ = ("__dict__", "__weakref__")

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._escaping: BaseException | None = None

    def _end(self, thread: Thread, result: Any, error: BaseException | None) -> None:
        """The steps of `thread` are over. Where this raises and they are its steps still, it has not been begun."""
        joins: Collection[Join] = ()
        joined = told = False
        try:
            with lock:
                joins = thread.joins()
                if any(isinstance(join, Outlasting) for join in joins):
                    self._outlast(thread, joins, result, error)
                    return
                # Without a call. So a signal handler may raise before, and the thread has not ended, or after it.
                thread._outcome = result if error is None else error.__traceback__
                thread._errors = None if error is None else [error]
                thread._coro = thread._context = thread.waiting_on = None  # type: ignore[assignment]
            for join in joins:  # not under the lock: a connection's closes its socket, and logs
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

    def _outlast(self, thread: Thread, joins: Collection[Join], result: Any, error: BaseException | None) -> None:
        """Under the lock. `thread` does not end yet: it waits for others first."""
        waiting = [join for join in joins if isinstance(join, Outlasting)]
        thread._coro = outlast(waiting, result, error)
        try:
            self._go_on_after_end(thread, waiting)
        except BaseException:
            self._go_on_after_end(thread, waiting)
            raise

    def _go_on_after_end(self, thread: Thread, waiting: list[Outlasting]) -> None:
        for join in waiting:
            thread._drop_join(join)
        self.scheduler.threads[thread] = None
        if thread not in self.scheduler.ready:
            self.scheduler.enqueue(thread)

    def _forget(self, thread: Thread) -> None:
        """It is not one of the live threads any more. Earlier, whoever joins it would seem to wait for nothing."""
        scheduler = self.scheduler
        scheduler.threads.pop(thread, None)
        if scheduler.interruptions.known:
            scheduler.interruptions.known.pop(thread, None)
        if scheduler.crew is not None:
            scheduler.crew.ended(thread)

    def _tell(self, thread: Thread, error: BaseException, joined: bool) -> None:
        """See to the error that `thread` has ended with."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._escaping = error
        elif isinstance(error, Cancelled) and error.meant_for is thread:
            error.meant_for = None  # as it was meant; and no cycle of the thread and its error
        elif not joined:
            report(thread, error)

    def _escape(self) -> None:
        """Let a KeyboardInterrupt or SystemExit that ended a thread out of the loop."""
        if self._escaping is not None:
            error, self._escaping = self._escaping, None
            raise error
