"""Which threads of a group are alive, which have failed, and who is told: the state of threadset, gather and first.

A thread reports its end to its group through the Join that it was started with. Any OS thread may start a thread of the
group, or see one end. So while the block lasts, `_alive`, `_kept`, `_errors`, `_open`, `_cancelled`, `_joining` and
`_interruption` change under the lock only, in short functions. Threads are cancelled after the lock has been released.
Must not know how a group is left, nor what it raises: that is in group.py.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar

import pollers
from pollers import Cancelled, operation

from .lock import lock
from .member import current_member
from .thread import Thread, currentthread, over_at_once
from .wait import Join, Wait


class Member(Join):
    """One thread of a group. It is a join of that thread, so its finish() tells the group that the thread has ended."""

    __slots__ = ("cancellation", "group", "late", "thread")
    leads = True

    def __init__(self, group: Roster) -> None:
        super().__init__(group._NAME)
        self.group = group
        self.thread: Thread[object] | None = None  # None until the thread has been made
        self.late = False  # started after the group was cancelled
        self.cancellation: Cancelled | None = None

    def begin(self, thread: Thread[object]) -> None:
        """Add the thread, which is about to take its first step, to the group."""
        self.thread = thread
        self.group._admit(self)

    def finish(self, result: Any = None) -> bool:
        """Tell the group that the thread has ended. Return False if nothing is left that could raise its error."""
        return self.group._ended(self)

    def cancel_thread(self, now: bool) -> None:
        """Cancel the thread. With `now`, it runs inside this call if possible: see Stepper.interrupt().

        A second call does nothing, because it would interrupt the thread's cleanup.
        """
        thread, error = self.thread, self.cancellation
        if thread is None or thread.done:
            return
        if error is not None and thread.scheduler.interruptions.is_pending_or_raised(thread, error):
            return
        error = Cancelled(f"{thread.name} was cancelled with its {self.group._NAME}")
        error.meant_for = thread
        self.cancellation = error
        (current_member() if now else thread.scheduler).interrupt(thread, error)


class Roster(pollers.Unique):
    """The threads of a group, which belongs to the current thread. With `keep`, those that have ended are kept, too."""

    __slots__ = (
        "_alive",
        "_cancelled",
        "_errors",
        "_interruption",
        "_joining",
        "_kept",
        "_open",
        "_owner",
    )

    _NAME: ClassVar = "threadset"  # in messages

    def __init__(self, keep: bool) -> None:
        """Raises RuntimeError outside a thread."""
        self._owner = currentthread()
        self._alive: dict[Member, None] = {}  # in the order of their starts
        self._kept: dict[Member, None] | None = {} if keep else None  # the same, and those that have ended
        self._errors: list[tuple[Thread[object], BaseException]] = []
        self._open = self._cancelled = False
        self._joining: Join | None = None
        self._interruption: Cancelled | None = None  # what a failure interrupts the block with

    def _start(self, func: Any, args: tuple[Any, ...], name: str | None) -> Thread[Any]:
        """Start a thread of this group."""
        member = Member(self)
        try:
            thread = current_member().newthread(func, args, name, member)
        except BaseException:
            if member.thread is None or not (member.thread.done or member.thread in member.thread.scheduler.threads):
                self._dismiss(member)
            raise
        if member.late:
            member.cancel_thread(now=False)
        return thread

    @operation
    def _all_ended(self, close: bool = False) -> Generator[Any, None, BaseException | None]:
        """Wait until all threads have ended, and do not let a cancellation cut this short.

        Return the first interruption that arrived meanwhile, or None. Each of the others is raised at a later wait.
        `_interruption`, which a failure of a thread causes, is not among them.
        """
        interruptions: list[BaseException] = []
        waiting: Wait | None = over_at_once()
        while waiting is not None or (waiting := self._wait_for_all(close)) is not None:
            try:
                yield from waiting.wait()
            except Cancelled as error:
                if error is not self._interruption:
                    interruptions.append(error)
                self._cancel(now=False)
            finally:
                waiting = None
                with lock:
                    self._joining = None
        self._forgive()
        while interruptions[1:]:
            self._owner.scheduler.interrupt(self._owner, interruptions.pop(1))
        try:
            return interruptions[0] if interruptions else None
        finally:
            interruptions.clear()  # their tracebacks have this frame: avoid a cycle

    def _admit(self, member: Member) -> None:
        """Add `member`, whose thread is about to start."""
        with lock:
            if not self._open:
                raise RuntimeError(f"a {self._NAME} starts threads only inside its block")
            if member.thread is not None and member.thread.scheduler is not self._owner.scheduler:
                raise RuntimeError("a threadset starts threads only in an OS thread that serves its scheduler")
            self._alive[member] = None
            if self._kept is not None:
                self._kept[member] = None
            member.late = self._cancelled

    def _dismiss(self, member: Member) -> None:
        """Remove `member`, whose thread could not be started."""
        with lock:
            if self._kept is not None:
                self._kept.pop(member, None)
            self._leave(member)
            member.thread = None  # which has this join: avoid a cycle

    def _leave(self, member: Member) -> None:
        self._alive.pop(member, None)
        if self._joining is not None and not self._alive:
            self._joining.finish()

    def _wait_for_all(self, close: bool) -> Join | None:
        """Return a wait that ends with the last thread. Return None if no thread is left.

        With `close`, no thread can be started any more when this returns None.
        """
        with lock:
            if self._alive:
                self._joining = Join(f"end of {len(self._alive)} threads of a {self._NAME}")
            elif close:
                self._close()
            return self._joining

    def _ended(self, member: Member) -> bool:
        """Note the end of a thread. See Member.finish()."""
        thread = member.thread
        assert thread is not None
        error = thread.error
        with lock:
            self._leave(member)
            if error is None or not self._is_failure(thread, error):
                return True
            if not self._open:
                return False
            if thread not in [one for one, _ in self._errors]:  # it is there if a signal handler raised later
                self._errors.append((thread, error))
            if self._interruption is None:
                interruption = Cancelled(f"{thread.name} failed in a threadset of {self._owner.name}")
                interruption.meant_for = self
                self._interruption = interruption
                if self._joining is None:
                    self._interrupt_block(interruption)
        self._cancel(now=False)
        return True

    def _is_failure(self, thread: Thread[object], error: BaseException) -> bool:
        """Whether a thread that ended with `error` has failed. One that was cancelled on its own has not."""
        return not (isinstance(error, Cancelled) and error.meant_for is thread)

    def _interrupt_block(self, interruption: Cancelled) -> None:
        """Interrupt the block. If a signal handler raises, do it all the same."""
        scheduler = self._owner.scheduler
        try:
            scheduler.interrupt(self._owner, interruption)
        except BaseException:  # a signal handler raised
            if not scheduler.interruptions.is_pending_or_raised(self._owner, interruption):
                scheduler.interrupt(self._owner, interruption)
            raise

    def _cancel(self, now: bool) -> int:
        """Cancel all threads. Return how many there are, 0 if this has been called before."""
        members: list[Member] = []
        try:
            with lock:
                if not self._cancelled:
                    members = list(self._alive)
                self._cancelled = True
            for member in members:
                member.cancel_thread(now)
        except BaseException:  # a signal handler raised
            for member in members:
                member.cancel_thread(now=False)
            raise
        return len(members)

    def _outcomes(self) -> list[Any] | None:
        """Return what the kept threads returned, in the order of their starts; None for those that were cancelled."""
        with lock:
            kept = None if self._kept is None else list(self._kept)
        if kept is None:
            return None
        threads = [member.thread for member in kept if member.thread is not None]
        return [thread.result() if thread.error is None else None for thread in threads]

    def _take_errors(self) -> list[tuple[Thread[object], BaseException]]:
        with lock:
            errors, self._errors = self._errors, []
        return errors

    def _close(self) -> None:
        with lock:
            self._open = False
            if self._kept is not None:
                self._kept.clear()  # and their errors, whose tracebacks may refer to this group
            self._forgive()
            if self._interruption is not None:
                self._interruption.meant_for = None  # avoid a cycle

    def _forgive(self) -> None:
        if self._interruption is not None:
            self._owner.scheduler.interruptions.forgive(self._owner, self._interruption)
