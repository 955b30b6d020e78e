"""Threads that belong together: one waits for all of them, and when one fails the others are cancelled.

Knows who is alive and what has failed; a thread tells its set of its end through the Join it was started with. Any OS
thread may start a member or see one end, so `_alive`, `_errors`, `_open`, `_cancelled`, `_joining` and `_interruption`
are looked at and changed together under the lock only, in the short functions without a wait below. What goes to
others, the cancel of each member and the report of an error, comes after it was let go.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any

import pollers
from pollers import Cancelled, Operation, operation

from .lock import lock
from .member import current_member
from .thread import Outlasting, Thread, currentthread, over_at_once, report
from .wait import Join, Wait


class _Member(Join):
    """One thread's place in a set: how the set learns of its end."""

    __slots__ = ("group", "late", "thread")

    def __init__(self, group: threadset) -> None:
        super().__init__("threadset")
        self.group = group
        self.thread: Thread | None = None  # None until that is made
        self.late = False  # came when the set had been cancelled

    def begin(self, thread: Thread) -> None:
        self.thread = thread
        self.group._admit(self)

    def finish(self, result: Any = None) -> bool:
        """The thread has ended. False: nobody is there any more to raise its error."""
        return self.group._ended(self)

    def cancel_thread(self, now: bool) -> None:
        """Once only: a second time would interrupt its cleanup."""
        if self.thread is not None and not self.thread.done:
            error = Cancelled(f"{self.thread.name} was cancelled with its threadset")
            error.meant_for = self.thread
            (current_member() if now else self.thread.scheduler).interrupt(self.thread, error)


class threadset(pollers.Unique):
    """Threads that end together: `async with threadset() as ts: ts.newthread(func); await ts.join()`.

    The first thread that fails has the others cancelled, and the block interrupted at its wait. The error is raised by
    join(), or by the block; an ExceptionGroup when several failed. Leaving the block, in whatever way, cancels the
    threads that are left: join() first to let them finish. Errors that come with a cancel or timeout of the block are
    reported to crashhook(), since that has to go its way. A thread that was cancelled by itself is no failure.

    `async with` also waits until all have ended. A plain `with`, for generators, cannot wait, and promises less: a
    thread that is cancelled by leaving the block, and needs no wait to clean up, has ended by then, if one OS thread
    serves it. Others go on cleaning up, what fails there is reported, and the thread that made the set ends after them.
    What a generator waits for inside join() has the full promise: join() waits for all, also when it is itself
    cancelled.

    RuntimeError outside a thread. (curio's TaskGroup, luapower's threadset)
    """

    __slots__ = (
        "_alive",
        "_cancelled",
        "_entered",
        "_errors",
        "_interruption",
        "_joined",
        "_joining",
        "_members",
        "_open",
        "_owner",
        "_since",
    )

    def __init__(self) -> None:
        self._owner = currentthread()
        self._members: dict[_Member, None] = {}  # in the order of their starts
        self._alive: dict[_Member, None] = {}  # in order
        self._errors: list[tuple[Thread, BaseException]] = []
        self._entered = self._open = False
        self._cancelled = False
        self._joined: list[tuple[Thread, BaseException]] = []  # what join() has raised
        self._joining: Join | None = None
        self._interruption: Cancelled | None = None  # of the block

    def newthread(self, func: Any, *args: Any, name: str | None = None) -> Thread:
        """Start a thread as newthread() does, as one of this set. Any thread may, as long as the block lasts.

        Its outcome is kept for join() until the block is left. If the set has been cancelled, so is the new thread.
        RuntimeError outside the block.
        """
        member = _Member(self)
        try:
            thread = current_member().newthread(func, args, name, member)
        except BaseException:
            if member.thread is None or not member.thread.done:
                self._dismiss(member)
            raise
        if member.late:
            member.cancel_thread(now=False)
        return thread

    def join(self) -> Operation[list[Any]]:
        """Wait until all threads have ended; return what they returned, in the order they were started.

        None stands for a thread that was cancelled. When one fails the others are cancelled; when they have ended its
        error is raised, an ExceptionGroup when several failed. Cancelled or out of time: cancels the threads and ends
        when they have ended. RuntimeError in another thread than the one that made the set.
        """
        if currentthread() is not self._owner:
            raise RuntimeError(f"only {self._owner.name!r}, which made this threadset, can join it")
        return self._join()

    @operation
    def _join(self) -> Generator[Any, None, list[Any]]:
        interruption = yield from self._all_ended()
        if interruption is None:
            self._joined = self._errors
        self._raise(interruption)
        threads = [member.thread for member in list(self._members) if member.thread is not None]
        return [thread.result() if thread.error is None else None for thread in threads]

    def cancel(self) -> None:
        """Cancel all threads of the set, and those that are started in it from now on. The block goes on."""
        self._cancel(now=False)

    # The block.

    def __enter__(self) -> threadset:
        if self._entered:
            raise RuntimeError("this threadset has been entered already")
        self._entered = self._open = True
        self._since = self._owner.scheduler.interruptions.raised
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cancel(now=kind is not GeneratorExit)
        self._close()
        if self._alive:
            self._owner._add_join(Outlasting(self._all_ended))  # if it has not ended itself
        try:
            self._raise_after(error)
        finally:
            self._interruption = None  # whose traceback leads here
            self._joined = []

    @operation
    def __aenter__(self) -> Generator[Any, None, threadset]:
        yield from ()
        return self.__enter__()

    @operation
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Generator[Any, None, None]:
        self._cancel(now=False)
        interruption = yield from self._all_ended(close=True)
        try:
            if interruption is not None:
                if not isinstance(error, Cancelled) or error is self._interruption:
                    self._report_replaced(error)
                    self._raise(interruption)
                self._owner.scheduler.interrupt(self._owner, interruption)  # one at a time
            self._raise_after(error)
        finally:
            self._interruption = None  # whose traceback leads here
            self._joined = []
            del interruption

    @operation
    def _all_ended(self, close: bool = False) -> Generator[Any, None, BaseException | None]:
        """Wait until no thread is left, whatever comes; return what was to interrupt that. Takes `_interruption` in."""
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
                self._joining = waiting = None
        self._forgive()
        for later in interruptions[1:]:
            self._owner.scheduler.interrupt(self._owner, later)
        return interruptions[0] if interruptions else None

    def _raise_after(self, error: BaseException | None) -> None:
        """The block ended with `error`: raise what is to be raised instead, if anything is."""
        if self._owner.scheduler.interruptions.known:
            ours = error is not None and error is self._interruption
            instead = self._owner.scheduler.interruptions.renew(self._owner, self._since, error, ours)
            try:
                if instead is not None:
                    self._raise(instead)
            finally:
                del instead  # whose traceback has this frame: no cycle
        if error is None or error is self._interruption:
            self._raise(None)
        elif isinstance(error, Exception):
            if self._errors:
                self._raise(None, error)
        else:
            self._report()

    def _raise(self, interruption: BaseException | None, *others: Exception) -> None:
        """Raise the interruption; else the error, or all the errors, that there are."""
        if interruption is not None:
            self._report()
        errors = [*others, *(error for _, error in self._take_errors())]
        if interruption is None and not errors:
            return
        error = interruption
        if error is None:
            error = BaseExceptionGroup(f"{len(errors)} errors in a threadset", errors) if errors[1:] else errors[0]
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context  # and not the interruption of the block
            del error, errors, context, interruption, others  # no cycle of an error and its own traceback

    def _report(self) -> None:
        """Something else goes first, but no error goes unseen."""
        for thread, error in self._take_errors():
            report(thread, error)

    def _report_replaced(self, error: BaseException | None) -> None:
        """An interruption takes the place of the `error` of the block, which may be what join() has raised."""
        if not isinstance(error, Exception):
            return
        raised = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        members = [(thread, one) for thread, one in self._joined if any(one is other for other in raised)]
        for thread, one in members or [(self._owner, error)]:
            report(thread, one)

    # State, changed without a wait.

    def _admit(self, member: _Member) -> None:
        """The thread of `member` is about to start."""
        with lock:
            if not self._open:
                raise RuntimeError("threads are started inside the block of a threadset only, not before and not after")
            self._alive[member] = self._members[member] = None
            member.late = self._cancelled

    def _dismiss(self, member: _Member) -> None:
        """It has not been started after all."""
        with lock:
            self._members.pop(member, None)
            self._leave(member)

    def _leave(self, member: _Member) -> None:
        self._alive.pop(member, None)
        if self._joining is not None and not self._alive:
            self._joining.finish()

    def _wait_for_all(self, close: bool) -> Join | None:
        """What ends with the last thread; None: none is left, and if `close`, none can be started any more."""
        with lock:
            if self._alive:
                self._joining = Join(f"end of {len(self._alive)} threads of a threadset")
            elif close:
                self._close()
            return self._joining

    def _ended(self, member: _Member) -> bool:
        thread = member.thread
        assert thread is not None
        error = thread.error
        with lock:
            self._leave(member)
            if error is None or (isinstance(error, Cancelled) and error.meant_for is thread):
                return True
            if not self._open:
                return False
            self._errors.append((thread, error))
            if self._interruption is None:
                self._interruption = Cancelled(f"{thread.name} failed, a thread of a threadset of {self._owner.name}")
                self._interruption.meant_for = self
                if self._joining is None:
                    self._owner.scheduler.interrupt(self._owner, self._interruption)
        self._cancel(now=False)
        return True

    def _cancel(self, now: bool) -> None:
        with lock:
            members = [] if self._cancelled else list(self._alive)
            self._cancelled = True
        for member in members:
            member.cancel_thread(now)

    def _take_errors(self) -> list[tuple[Thread, BaseException]]:
        with lock:
            errors, self._errors = self._errors, []
        return errors

    def _close(self) -> None:
        with lock:
            self._open = False
            self._members.clear()  # and their errors, whose tracebacks may lead here
            self._forgive()
            if self._interruption is not None:
                self._interruption.meant_for = None  # no cycle of the two

    def _forgive(self) -> None:
        if self._interruption is not None:
            self._owner.scheduler.interruptions.forgive(self._owner, self._interruption)
