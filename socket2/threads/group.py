"""Threads that end together: one thread waits for all of them, and if one fails, the others are cancelled.

Knows how a block of threads is left, and what it raises. roster.py knows which threads are alive and which failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from pollers import Cancelled, Operation, operation

from .coroutines import A, P, S, T, Ts, Y, explain_missing, with_kwargs
from .roster import Roster
from .thread import Outlasting, Thread, currentthread, report

if TYPE_CHECKING:
    from typing import Self

R_co = TypeVar("R_co", covariant=True)


class threadset(Roster, Generic[R_co]):
    """Threads that end together: `async with threadset() as ts: ts.newthread(func)`.

    The end of the block waits until all threads have ended. If a thread of the set fails, the others are cancelled, and
    the block is interrupted at its wait. The block raises the error, or an ExceptionGroup if several threads failed. A
    thread that was cancelled on its own has not failed. If the block is left by an error, a cancellation or a timeout,
    the threads are cancelled. A cancellation or timeout is then what the block raises, and errors of the threads go to
    crashhook(). To end the block without waiting for the work of its threads, call cancel() in it.

    A plain `with`, for generators, cannot wait. So call `yield from ts.join()` before its end. If threads are still
    alive when the block is left normally, and cancel() has not been called, they are cancelled and the block raises
    RuntimeError. If one OS thread serves the threads, those that clean up without a wait have ended when a block has
    been left by an error. The others finish their cleanup later, and crashhook() reports their errors. The thread that
    made the set then ends after them.

    Threads that have ended without an error are forgotten, so a set may live as long as a server. With `keep_outcomes`,
    their results are kept, and join() returns them.

    Raises RuntimeError outside a thread. (curio's TaskGroup, luapower's threadset)
    """

    __slots__ = ("_entered", "_joined", "_since")

    @overload
    def __init__(self: threadset[None], *, keep_outcomes: Literal[False] = False) -> None: ...
    @overload
    def __init__(self: threadset[list[Any]], *, keep_outcomes: Literal[True]) -> None: ...
    @overload
    def __init__(self: threadset[list[Any] | None], *, keep_outcomes: bool) -> None: ...
    def __init__(self, *, keep_outcomes: bool = False) -> None:
        super().__init__(keep_outcomes)
        self._entered = False
        self._joined: list[tuple[Thread[object], BaseException]] = []  # the failures that join() raised

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

        Any thread of the scheduler may call this while the block lasts. If the set has been cancelled, the new thread
        is cancelled, too. With `keep_outcomes`, join() returns its result. Raises RuntimeError outside the block, and
        in an OS thread that does not serve the scheduler.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a thread must be a str, not {name!r}")
        if kwargs:
            func = with_kwargs(func, kwargs)
        try:
            return self._start(func, args, name)
        except TypeError as error:
            if name is not None:
                explain_missing(error, func, "name", "newthread")
            raise

    def join(self) -> Operation[R_co]:
        """Wait until all threads have ended. Return None, or a list of what they returned with `keep_outcomes`.

        The list is in the order of the starts, and has None for a thread that was cancelled. If a thread fails, the
        others are cancelled. When all have ended, join() raises the error, or an ExceptionGroup if several failed. A
        cancellation or timeout of join() cancels the threads, and is raised when all have ended. Raises RuntimeError
        outside the block, and in any thread but the one that made the set.
        """
        if not self._open:
            raise RuntimeError("a threadset is joined inside its block")
        if currentthread() is not self._owner:
            raise RuntimeError(f"only the thread {self._owner.name!r}, which made this threadset, can join it")
        return self._join()

    @operation
    def _join(self) -> Generator[Any, None, Any]:
        interruption = yield from self._all_ended()
        try:
            if interruption is None:
                self._joined = self._errors
            self._raise(interruption)
            return self._outcomes()
        finally:
            del interruption  # its traceback has this frame: avoid a cycle

    def cancel(self) -> None:
        """Cancel all threads of the set, including those that are started later. The block itself goes on.

        Any OS thread and any signal handler may call this.
        """
        owner: Thread[object] | None = self._owner
        if owner is None:
            return  # the block and all threads have ended
        if owner.scheduler.at_hand():
            self._cancel(now=False)
        else:
            owner.scheduler.post(partial(self._cancel, now=False))

    # The block.

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("this threadset has already been entered")
        if currentthread() is not self._owner:
            raise RuntimeError(f"only the thread {self._owner.name!r}, which made this threadset, can enter it")
        self._entered = self._open = True
        self._since = self._owner.scheduler.interruptions.raised
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        left = self._cancel(now=kind is not GeneratorExit)
        self._close()
        if self._alive:
            self._owner._add_join(Outlasting(self._all_ended))  # none is added if it has ended
        try:
            self._raise_after(error, *([_not_waited_for(left)] if left and kind is None else ()))
        finally:
            self._forget()

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self.__enter__()

    @operation
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Generator[Any, None, None]:
        if kind is GeneratorExit:  # the thread is dropped, and must not wait
            self.__exit__(kind, error, at)
            return
        try:
            if kind is not None:
                self._cancel(now=False)
            interruption = yield from self._all_ended(close=True)
        except GeneratorExit:
            self.__exit__(GeneratorExit, None, None)
            raise
        try:
            if interruption is not None:
                if not isinstance(error, Cancelled) or error is self._interruption:
                    self._report_replaced(error)
                    self._raise(interruption)
                self._owner.scheduler.interrupt(self._owner, interruption)  # only one can be raised now
            self._raise_after(error)
        finally:
            self._forget()
            del interruption

    def _forget(self) -> None:
        """Avoid cycles: tracebacks of errors have frames that refer to this set."""
        self._interruption = None
        self._joined = []
        if not self._alive:
            self._owner = None  # type: ignore[assignment]  # it may end with such an error

    def _raise_after(self, error: BaseException | None, *own: Exception) -> None:
        """Raise what is to be raised at the end of the block instead of `error`, if anything is.

        `own`: an error of the block itself, which is raised in any case but for a cancellation.
        """
        if self._owner.scheduler.interruptions.known:
            ours = error is not None and error is self._interruption
            instead = self._owner.scheduler.interruptions.leave_scope(self._owner, self._since, error, ours)
            try:
                if instead is not None:
                    self._raise(instead)
            finally:
                del instead  # its traceback has this frame: avoid a cycle
        if error is None or error is self._interruption:
            self._raise(None, *own)
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
            error = BaseExceptionGroup(f"{len(errors)} errors in a {self._NAME}", errors) if errors[1:] else errors[0]
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


def _not_waited_for(count: int) -> RuntimeError:
    return RuntimeError(
        f"a plain `with threadset()` cannot wait at its end, and {count} of its threads were still alive: "
        "before that, `yield from` its join(), or call its cancel()"
    )
