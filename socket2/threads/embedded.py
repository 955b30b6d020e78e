"""Our loop inside another event loop, which owns the OS thread: that of a notebook, of a GUI, or of trio.

The other loop waits until the descriptor is readable or a time has passed, and then calls turn(), which never waits.
Between two turns it runs code of its own, which may start threads of ours and end their waits. Must not know which
loop it is. Signals are that loop's as well.
"""

from __future__ import annotations

import sys

from .member import Member
from .scheduler import current_scheduler, local


class Embedded(Member):
    """The loop of this OS thread, between begin() and end().

    The other loop calls due_s(), waits, calls turn(), and begins again.
    """

    alone = 1

    def __init__(self) -> None:
        super().__init__(current_scheduler())
        self._before: tuple[object] | None = None  # the member of this OS thread before begin()
        self._turning = False

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self.scheduler.poller.fileno()

    def begin(self) -> None:
        """Become the loop of this OS thread.

        Raises RuntimeError if its loop already runs, or if other OS threads serve it, too; io.UnsupportedOperation if
        no other loop can wait for the poller.
        """
        scheduler, member = self.scheduler, local.member
        if self.running or (member is not None and (member.running or member.current is not None)):
            raise RuntimeError("the loop of this OS thread is already running")
        if scheduler.crew is not None:
            raise RuntimeError("several OS threads serve this loop, so it cannot run inside another event loop")
        scheduler.poller.watch()
        self._before = (member,)
        local.member = self
        self.running = scheduler.has_run = True
        scheduler.timers.sooner = scheduler.poller.wakeup
        with scheduler.entry:
            scheduler.loops.append(self)

    def end(self) -> None:
        """Leave the loop. Threads that are still alive keep their state, and a later loop continues them."""
        self._put_back()
        scheduler = self.scheduler
        with scheduler.entry:
            if self in scheduler.loops:
                scheduler.loops.remove(self)
            self.current = self.taken = None
        scheduler.timers.sooner = None
        if not scheduler.loops:
            scheduler.loop_ended()
        if self._before is not None:
            local.member = self._before[0]  # type: ignore[assignment]
            self._before = None
        self.running = False

    def due_s(self) -> float | None:
        """Return how long the other loop may wait for the descriptor: in seconds, 0 not at all, None without limit."""
        if not self.scheduler.poller.watch():
            return 0
        return self.wait_s(None)

    def turn(self) -> bool:
        """Step the threads that have become ready. Return whether anything happened.

        Raises a SystemExit or KeyboardInterrupt that ended a thread.
        """
        try:
            self._turning = True
            if self._hooks is None:
                self._hooks = sys.get_asyncgen_hooks()
            self._sniffed.begin()
            sys.set_asyncgen_hooks(None, self._close_generator)
            return self._turn(self.scheduler.now())
        except BaseException:
            self._mend_after_error()
            raise
        finally:
            self._put_back()

    def _put_back(self) -> None:
        """Restore what turn() has changed. If a signal handler raises, the next turn() or end() does the rest."""
        self._turning = False
        self._sniffed.end()
        if self._hooks is not None:
            sys.set_asyncgen_hooks(*self._hooks)
            self._hooks = None

    def is_between_steps(self) -> bool:
        """Code of the other loop runs between two turns. It may end waits, as a thread may."""
        return self.current is None and (self._turning or self._nested > 0)
