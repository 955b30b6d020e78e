"""A coroutine thread: its name, its outcome, how to join it and how to cancel it.

Knows how a thread ends. Must not know how a thread runs: that is in stepping.py.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Collection, Generator, Iterable
from typing import Any, Generic, TypeVar

import pollers
from pollers import STREAK_MAX, Cancelled, Operation, operation

from .chain import attribute
from .coroutines import is_coroutine
from .journal import Journal, print_error
from .lock import lock
from .scheduler import Scheduler, local
from .wait import Join, Pass

T_co = TypeVar("T_co", covariant=True)

log = Journal("socket2.thread")


def currentthread() -> Thread[object]:
    """Return the thread that is running. Raises RuntimeError outside a thread."""
    member = local.member
    if member is None or member.current is None:
        raise RuntimeError("this works only inside a thread, which newthread() or run() starts")
    current: Thread[object] = member.current
    return current


def is_closing(thread: Thread[Any]) -> bool:
    """Whether the code that calls this, and that a GeneratorExit ends, is code of `thread`. A finalizer may call it."""
    current = local.member.current if local.member is not None else None
    return thread is current if current is not None else bool(attribute(thread._coro, "running"))


def over_at_once(n: int = 1) -> Pass | None:
    """Count `n` operations that finish without a wait. Return None, or a Pass if other threads must run first.

    Call it as `if (turn := over_at_once()) is not None: yield from turn.wait()` before the operation takes anything. A
    cancellation during that wait then loses nothing.
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
    return Pass("turn of the other threads")


def interruption_first() -> Pass | None:
    """Do the same as over_at_once(), but also return a Pass if an interruption of the current thread is pending.

    An operation that may finish in spite of an interruption, and leave it to the next wait, calls this before anything
    has begun. Without it, a loop over this operation could not be interrupted.
    """
    turn = over_at_once()
    if turn is None and currentthread()._errors is not None:
        turn = Pass("turn of the other threads")
    return turn


class Thread(pollers.Unique, Generic[T_co]):
    """A coroutine thread. newthread() makes it. A `Thread[int]` returns an int. Every thread is a `Thread[object]`."""

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
        """The object that the thread waits for, with a readable repr. None while it runs and after its end."""
        self._coro = coro
        self._context = contextvars.copy_context()
        self._name = name
        # Each idle connection pays for every slot. So these two have a second use after the thread's end, when `_coro`
        # is None.
        #
        #           while the thread lives                    after its end
        # _errors   None: no interruption is pending          None: it returned
        #           a list: the pending interruptions;        a list of one: the exception that it ended with
        #             each wait raises the first one
        #           []: each wait looks for lost
        #             interruptions (cancellation.py)
        # _outcome  None: no joins                            its result, if it returned
        #           a Join: the only one                      the traceback, if it ended with an exception
        #           a dict with Joins as keys
        self._errors: list[BaseException] | None = None
        self._outcome: Any = None

    @property
    def name(self) -> str:
        """The name given to newthread(), or else the name of its function. It appears in messages."""
        return self._name if self._name is not None else "thread"

    def rename(self, name: str) -> None:
        """Change the name. For the other rooms of socket2."""
        self._name = name

    @property
    def done(self) -> bool:
        """Whether the thread has ended: it returned, failed or was cancelled."""
        return self._coro is None

    @property
    def error(self) -> BaseException | None:
        """The exception that the thread ended with. None if it returned, or has not ended."""
        return self._errors[0] if self.done and self._errors is not None else None

    def result(self) -> T_co:
        """Return what the thread returned, or raise its exception. Raises RuntimeError if it has not ended."""
        if self._coro is not None:
            raise RuntimeError(f"{self!r} has not ended")
        if self._errors is None:
            outcome: T_co = self._outcome
            return outcome
        error, traceback = self._errors[0], self._outcome
        try:
            raise error.with_traceback(traceback)
        finally:
            del self, error, traceback  # the error's traceback has this frame: avoid a cycle

    @operation
    def join(self) -> Generator[Any, None, T_co]:
        """Wait for the thread's end. Return what it returned, or raise its exception.

        This exception is Cancelled if the thread was cancelled. A cancellation or timeout of the joining thread ends
        the wait and does not touch the joined thread. Raises RuntimeError if a thread joins itself, or if the thread
        belongs to another scheduler.
        """
        if self._coro is not None:
            joiner = currentthread()
            if joiner is self:
                raise RuntimeError(f"{self!r} cannot join itself")
            if joiner.scheduler is not self.scheduler:
                raise RuntimeError(f"{self!r} belongs to another OS thread's scheduler and cannot be joined from here")
            del joiner  # the traceback of a cancellation has this frame: avoid a cycle
            join = Join(f"join of {self.name!r}")
            try:
                if self._add_join(join):
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
        """Have `join` finished when the thread ends. Return False if it has ended already."""
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
                    del joins[join]  # in constant time
                if not joins or joins is join:
                    self._outcome = None

    def joins(self) -> Collection[Join]:
        """Return the joins that the thread's end will finish. Call it only before that end."""
        joins = self._outcome
        return joins if type(joins) is dict else () if joins is None else (joins,)

    def cancel(self) -> bool:
        """Raise Cancelled in the thread, at its current wait or else at its next one. Return False if it has ended.

        cancel() does not wait until the thread has ended: call join() for that. If the operation that the thread waits
        for has already finished, its result is delivered, and the next wait raises Cancelled. A second call may
        interrupt the thread's cleanup. At the exit of the process, which cancels all threads, it does nothing. Any OS
        thread and any signal handler may call this.
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
            if not (self._is_to_be_cancelled() or (self.scheduler.exiting and self._was_cancelled())):
                error = Cancelled(f"{self.name} was cancelled")
                error.meant_for = self
                self.scheduler.interrupt(self, error)
            return True

    def _is_to_be_cancelled(self) -> bool:
        return any(isinstance(error, Cancelled) and error.meant_for is self for error in self._errors or ())

    def _was_cancelled(self) -> bool:
        return any(error.meant_for is self for error in self.scheduler.interruptions.known.get(self, ()))

    def __repr__(self) -> str:
        state = "ended" if self.done else f"waiting: {self.waiting_on!r}" if self.waiting_on else "running"
        return f"<thread {self.name!r}, {state}>"


def crashhook(thread: Thread[object], error: BaseException, /) -> None:
    """Log the exception of a thread that no other thread was joining, with its traceback, to "socket2.thread" (ERROR).

    If logging is not configured, the standard library prints this to stderr. To replace the hook, assign a function to
    `socket2.thread.crashhook`, which is looked up for each report. If the hook raises an exception itself, that is
    printed, and the loop goes on.
    """
    log.error(
        "exception in thread %r, which no other thread was joining",
        thread.name,
        error=error,
        about={"coro_thread": thread.name},
    )


class Outlasting(Join):
    """Makes a thread run the operation `end()` before it ends. It is kept among the thread's joins."""

    __slots__ = ("end",)

    def __init__(self, end: Callable[[], Operation[Any]]) -> None:
        super().__init__("end of a thread")
        self.end = end


def outlasting_in(joins: Collection[Join]) -> list[Outlasting]:
    return [join for join in joins if isinstance(join, Outlasting)]


def outlast(waiting: list[Outlasting], result: Any, error: BaseException | None) -> Generator[Any, None, Any]:
    """Return what a thread still has to run when its function has ended.

    These steps run the `end()` of each Outlasting, then return `result` or raise `error`.
    """
    try:
        for join in waiting:
            yield from join.end()
        if error is not None:
            raise error
        return result
    finally:
        del error


@operation
def all_ended(threads: Iterable[Thread[object]]) -> Generator[Any, None, None]:
    """Wait until all `threads` have ended, and do not let a cancellation cut this short.

    The first interruption that arrives meanwhile is raised at the end, and each of the others at a later wait. The
    outcomes of the threads are ignored, and crashhook() does not report them.
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
        interruptions.clear()  # their tracebacks have this frame: avoid a cycle


def report(thread: Thread[object], error: BaseException) -> None:
    """Call crashhook(), and print the exception that it raises, if any. Skip what leaves the loop anyway."""
    left = reportable(thread, error)
    try:
        made: object = crashhook(thread, left) if left is not None else None  # type: ignore[func-returns-value]
        if is_coroutine(made):
            raise TypeError(f"crashhook must be a plain function, but it is {crashhook!r}") from error
    except Exception:
        print_error()
    finally:
        del left  # the error's traceback may have this frame: avoid a cycle


def reportable(thread: Thread[object], error: BaseException) -> BaseException | None:
    """Return what is to be reported of the error that `thread` has ended with.

    A SystemExit or KeyboardInterrupt is not: it leaves the loop. Nor is a Cancelled when the process exits. All threads
    have been cancelled then, so a thread may get one from a join of another.
    """
    kinds: tuple[type[BaseException], ...] = (SystemExit, KeyboardInterrupt)
    if thread.scheduler.exiting:
        kinds = (*kinds, Cancelled)
    if isinstance(error, BaseExceptionGroup):
        return error.split(kinds)[1]
    return None if isinstance(error, kinds) else error
