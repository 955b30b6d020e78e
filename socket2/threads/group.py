"""Threads that end together: one thread waits for all of them, and if one fails, the others are cancelled.

Knows which threads are alive and which have failed. A thread reports its end to its set through the Join that it was
started with. Any OS thread may start a thread of the set, or see one end. So `_alive`, `_errors`, `_open`,
`_cancelled`, `_joining` and `_interruption` are read and changed under the lock only, in the short functions at the end
of the class. Threads are cancelled and errors reported after the lock has been released.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, overload

import pollers
from pollers import Cancelled, Operation, operation

from .coroutines import A, P, S, T, Ts, Y, with_kwargs
from .lock import lock
from .member import current_member
from .thread import Outlasting, Thread, currentthread, over_at_once, report
from .wait import Join, Wait


class _MemberJoin(Join):
    """One thread of a set. It is a join of that thread, so its finish() tells the set that the thread has ended."""

    __slots__ = ("cancellation", "group", "late", "thread")

    def __init__(self, group: threadset) -> None:
        super().__init__("threadset")
        self.group = group
        self.thread: Thread[object] | None = None  # None until the thread has been made
        self.late = False  # started after the set was cancelled
        self.cancellation: Cancelled | None = None

    def begin(self, thread: Thread[object]) -> None:
        """Add the thread, which is about to take its first step, to the set."""
        self.thread = thread
        self.group._admit(self)

    def finish(self, result: Any = None) -> bool:
        """Tell the set that the thread has ended. Return False if nothing is left that could raise its error."""
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
        error = Cancelled(f"{thread.name} was cancelled with its threadset")
        error.meant_for = thread
        self.cancellation = error
        (current_member() if now else thread.scheduler).interrupt(thread, error)


class threadset(pollers.Unique):
    """Threads that end together: `async with threadset() as ts: ts.newthread(func); await ts.join()`.

    If a thread of the set fails, the others are cancelled, and the block is interrupted at its wait. join() or the
    block raises the error. If several threads failed, it raises an ExceptionGroup. A thread that was cancelled on its
    own has not failed. Leaving the block cancels the threads that are still alive: call join() first to let them
    finish. If the block is left by a cancellation or timeout, this is what it raises, and errors of the threads go to
    crashhook().

    `async with` also waits until all threads have ended. A plain `with`, for generators, cannot wait. If one OS thread
    serves the threads, those that clean up without a wait have ended when the block has been left. The others finish
    their cleanup later, and crashhook() reports their errors. The thread that made the set then ends after them.
    In both kinds of block join() waits until all threads have ended, even if it is cancelled.

    Raises RuntimeError outside a thread. (curio's TaskGroup, luapower's threadset)
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
        self._members: dict[_MemberJoin, None] = {}  # in the order of their starts
        self._alive: dict[_MemberJoin, None] = {}  # in the same order
        self._errors: list[tuple[Thread[object], BaseException]] = []
        self._entered = self._open = False
        self._cancelled = False
        self._joined: list[tuple[Thread[object], BaseException]] = []  # the failures that join() raised
        self._joining: Join | None = None
        self._interruption: Cancelled | None = None  # what a failure interrupts the block with

    @overload
    def newthread(self, func: Generator[Y, S, T] | Awaitable[T], /, *, name: str | None = None) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[[*Ts], Generator[Y, S, T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[[*Ts], Coroutine[Y, S, T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[[*Ts], Operation[T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[[*Ts], A], /, *args: *Ts, name: str | None) -> Thread[Any]: ...
    @overload
    def newthread(self, func: Callable[[*Ts], T], /, *args: *Ts, name: str | None) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
    @overload
    def newthread(self, func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Thread[Any]: ...
    @overload
    def newthread(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
    def newthread(self, func: Any, /, *args: Any, name: str | None = None, **kwargs: Any) -> Thread[Any]:  # type: ignore[misc]
        """Start a thread of this set. The arguments and errors are those of socket2.newthread().

        Any thread may call this while the block lasts. If the set has been cancelled, the new thread is cancelled, too.
        join() returns the thread's result until the block is left. Raises RuntimeError outside the block.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a thread must be a str, not {name!r}")
        if kwargs:
            func = with_kwargs(func, kwargs)
        member = _MemberJoin(self)
        try:
            thread = current_member().newthread(func, args, name, member)
        except BaseException:
            if member.thread is None or not (member.thread.done or member.thread in member.thread.scheduler.threads):
                self._dismiss(member)
            raise
        if member.late:
            member.cancel_thread(now=False)
        return thread

    def join(self) -> Operation[list[Any]]:
        """Wait until all threads have ended. Return a list of what they returned, in the order of their starts.

        The list has None for a thread that was cancelled. If a thread fails, the others are cancelled. When all have
        ended, join() raises the error, or an ExceptionGroup if several failed. A cancellation or timeout of join()
        cancels the threads, and is raised when all have ended. Raises RuntimeError in any thread but the one that made
        the set.
        """
        if currentthread() is not self._owner:
            raise RuntimeError(f"only the thread {self._owner.name!r}, which made this threadset, can join it")
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
        """Cancel all threads of the set, including those that are started later. The block itself goes on."""
        self._cancel(now=False)

    # The block.

    def __enter__(self) -> threadset:
        if self._entered:
            raise RuntimeError("this threadset has already been entered")
        self._entered = self._open = True
        self._since = self._owner.scheduler.interruptions.raised
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cancel(now=kind is not GeneratorExit)
        self._close()
        if self._alive:
            self._owner._add_join(Outlasting(self._all_ended))  # none is added if it has ended
        try:
            self._raise_after(error)
        finally:
            self._interruption = None  # its traceback has this frame: avoid a cycle
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
                self._owner.scheduler.interrupt(self._owner, interruption)  # only one can be raised now
            self._raise_after(error)
        finally:
            self._interruption = None  # its traceback has this frame: avoid a cycle
            self._joined = []
            del interruption

    @operation
    def _all_ended(self, close: bool = False) -> Generator[Any, None, BaseException | None]:
        """Wait until all threads have ended, and do not let a cancellation cut this short.

        Return the first interruption that arrived meanwhile, or None. Each of the others is raised at a later wait.
        `_interruption`, which a failure of the set causes, is not among them.
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
                self._joining = waiting = None
        self._forgive()
        for later in interruptions[1:]:
            self._owner.scheduler.interrupt(self._owner, later)
        return interruptions[0] if interruptions else None

    def _raise_after(self, error: BaseException | None) -> None:
        """Raise what is to be raised at the end of the block instead of `error`, if anything is."""
        if self._owner.scheduler.interruptions.known:
            ours = error is not None and error is self._interruption
            instead = self._owner.scheduler.interruptions.leave_scope(self._owner, self._since, error, ours)
            try:
                if instead is not None:
                    self._raise(instead)
            finally:
                del instead  # its traceback has this frame: avoid a cycle
        if error is None or error is self._interruption:
            self._raise(None)
        elif isinstance(error, Exception):
            if self._errors:
                self._raise(None, error)
        else:
            self._report()

    def _raise(self, interruption: BaseException | None, *others: Exception) -> None:
        """Raise the interruption if there is one, else the errors if there are any.

        If it raises the interruption, crashhook() reports the errors of the threads.
        """
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
            error.__context__ = context  # without this it would be the interruption of the block
            del error, errors, context, interruption, others  # the error's traceback has this frame: avoid a cycle

    def _report(self) -> None:
        """Pass the errors to crashhook(), because something else is raised."""
        for thread, error in self._take_errors():
            report(thread, error)

    def _report_replaced(self, error: BaseException | None) -> None:
        """Report the block's `error`, or the errors of join() in it, because an interruption is raised instead."""
        if not isinstance(error, Exception):
            return
        raised = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        members = [(thread, one) for thread, one in self._joined if any(one is other for other in raised)]
        for thread, one in members or [(self._owner, error)]:
            report(thread, one)

    # State, changed without a wait.

    def _admit(self, member: _MemberJoin) -> None:
        """Add `member`, whose thread is about to start."""
        with lock:
            if not self._open:
                raise RuntimeError("a threadset starts threads only inside its block")
            self._alive[member] = self._members[member] = None
            member.late = self._cancelled

    def _dismiss(self, member: _MemberJoin) -> None:
        """Remove `member`, whose thread could not be started."""
        with lock:
            self._members.pop(member, None)
            self._leave(member)

    def _leave(self, member: _MemberJoin) -> None:
        self._alive.pop(member, None)
        if self._joining is not None and not self._alive:
            self._joining.finish()

    def _wait_for_all(self, close: bool) -> Join | None:
        """Return a wait that ends with the last thread. Return None if no thread is left.

        With `close`, no thread can be started any more when this returns None.
        """
        with lock:
            if self._alive:
                self._joining = Join(f"end of {len(self._alive)} threads of a threadset")
            elif close:
                self._close()
            return self._joining

    def _ended(self, member: _MemberJoin) -> bool:
        """Note the end of a thread. See _MemberJoin.finish()."""
        thread = member.thread
        assert thread is not None
        error = thread.error
        with lock:
            self._leave(member)
            if error is None or (isinstance(error, Cancelled) and error.meant_for is thread):
                return True
            if not self._open:
                return False
            if not any(one is thread for one, _ in self._errors):  # it is there if a signal handler raised later
                self._errors.append((thread, error))
            if self._interruption is None:
                interruption = Cancelled(f"{thread.name} failed in a threadset of {self._owner.name}")
                interruption.meant_for = self
                self._interruption = interruption
                if self._joining is None:
                    self._interrupt_block(interruption)
        self._cancel(now=False)
        return True

    def _interrupt_block(self, interruption: Cancelled) -> None:
        """Interrupt the block. If a signal handler raises, do it all the same."""
        scheduler = self._owner.scheduler
        try:
            scheduler.interrupt(self._owner, interruption)
        except BaseException:  # a signal handler raised
            if not scheduler.interruptions.is_pending_or_raised(self._owner, interruption):
                scheduler.interrupt(self._owner, interruption)
            raise

    def _cancel(self, now: bool) -> None:
        members: list[_MemberJoin] = []
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

    def _take_errors(self) -> list[tuple[Thread[object], BaseException]]:
        with lock:
            errors, self._errors = self._errors, []
        return errors

    def _close(self) -> None:
        with lock:
            self._open = False
            self._members.clear()  # and their errors, whose tracebacks may refer to this set
            self._forgive()
            if self._interruption is not None:
                self._interruption.meant_for = None  # avoid a cycle

    def _forgive(self) -> None:
        if self._interruption is not None:
            self._owner.scheduler.interruptions.forgive(self._owner, self._interruption)
