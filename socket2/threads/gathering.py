"""Several calls at once, each in a thread: gather() waits for all of them, first() for the first that succeeds.

Knows which results count. How threads end together is in group.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, TypeAlias, TypeVar, overload

from pollers import Cancelled, Operation, operation

from .chain import with_contexts
from .coroutines import awaiting, check_callable, check_given, is_bad_call, is_coroutine, is_lazy, name_of, not_a_call
from .group import threadset
from .lock import lock
from .thread import Thread, currentthread, interruption_first, report

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")

Steps: TypeAlias = Generator[Any, Any, T] | Awaitable[T]
Call: TypeAlias = Steps[T] | Callable[[], Steps[T]]

# The overload for any number of calls requires one more call than the overload before it. If both matched, mypy would
# give up where a type contains Any.


@overload
def gather() -> Operation[tuple[()]]: ...
@overload
def gather(c1: Call[T1], /) -> Operation[tuple[T1]]: ...
@overload
def gather(c1: Call[T1], c2: Call[T2], /) -> Operation[tuple[T1, T2]]: ...
@overload
def gather(c1: Call[T1], c2: Call[T2], c3: Call[T3], /) -> Operation[tuple[T1, T2, T3]]: ...
@overload
def gather(c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], /) -> Operation[tuple[T1, T2, T3, T4]]: ...
@overload
def gather(
    c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], c5: Call[T5], /
) -> Operation[tuple[T1, T2, T3, T4, T5]]: ...
@overload
def gather(
    c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], c5: Call[T5], c6: Call[T6], /
) -> Operation[tuple[T1, T2, T3, T4, T5, T6]]: ...
@overload
def gather(
    c1: Call[T], c2: Call[T], c3: Call[T], c4: Call[T], c5: Call[T], c6: Call[T], c7: Call[T], /, *calls: Call[T]
) -> Operation[tuple[T, ...]]: ...
def gather(*calls: Call[Any]) -> Operation[tuple[Any, ...]]:
    """Run all `calls` at the same time, each in a thread. Return a tuple of their results, in the order of the calls.

    A call is a function without arguments that returns a generator, a coroutine or an operation, or one of these
    itself. For arguments use functools.partial(), and for a function that blocks call_in_thread(). Without calls the
    result is an empty tuple. A type checker knows the type of each result for up to six calls; for more calls, and for
    `gather(*calls)`, they have one type.

    If a call fails, the others are cancelled. When all have ended, the error is raised, or an ExceptionGroup if several
    failed. A cancellation or timeout of gather() cancels the calls, and is raised when all have ended. If all of them
    have succeeded by then, the results are returned instead, and the next wait raises it. Otherwise results
    are dropped.

    Raises TypeError if a call cannot be made, or not without arguments, or returns something else.
    """
    _check(calls)
    return _gather(calls)


@overload
def first(c1: Call[T], /) -> Operation[T]: ...
@overload
def first(c1: Call[T1], c2: Call[T2], /) -> Operation[T1 | T2]: ...
@overload
def first(c1: Call[T1], c2: Call[T2], c3: Call[T3], /) -> Operation[T1 | T2 | T3]: ...
@overload
def first(c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], /) -> Operation[T1 | T2 | T3 | T4]: ...
@overload
def first(
    c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], c5: Call[T5], /
) -> Operation[T1 | T2 | T3 | T4 | T5]: ...
@overload
def first(
    c1: Call[T1], c2: Call[T2], c3: Call[T3], c4: Call[T4], c5: Call[T5], c6: Call[T6], /
) -> Operation[T1 | T2 | T3 | T4 | T5 | T6]: ...
@overload
def first(
    c1: Call[T], c2: Call[T], c3: Call[T], c4: Call[T], c5: Call[T], c6: Call[T], c7: Call[T], /, *calls: Call[T]
) -> Operation[T]: ...
def first(*calls: Call[Any]) -> Operation[Any]:
    """Run all `calls` at the same time, each in a thread. Return the result of the first one that succeeds.

    The others are then cancelled, and first() returns when they have ended. What else they return is dropped, and so
    are their errors; but crashhook() reports an error that a cleanup raises after a cancellation. If all calls fail, an
    ExceptionGroup of their errors is raised, in the order of the calls. Calls are given as in gather(). They are
    started in their order, and not any more once one has succeeded.

    A cancellation or timeout of first() cancels the calls, and is raised when all have ended. If one of them has
    succeeded by then, its result is returned instead, and the next wait raises it.

    Raises ValueError if there are no calls; TypeError if a call cannot be made, or not without arguments, or returns
    something else.
    """
    if not calls:
        raise ValueError("first() needs at least one call")
    _check(calls)
    return _first(calls)


def _check(calls: tuple[Any, ...]) -> None:
    try:
        for call in calls:
            if not is_coroutine(call):
                check_callable(call)
    except TypeError:
        _drop(calls)
        raise


def _drop(calls: Iterable[Any]) -> None:
    """Drop what was to be run, so that nobody reports it as forgotten."""
    for call in calls:
        if is_coroutine(call) and hasattr(call, "close"):
            call.close()


class _Calls(threadset[Any]):
    """Threads that make one call each."""

    __slots__ = ()

    def _begin(self, at: int, call: Any) -> None:
        """Start the thread of a call, which has the place `at` among all calls."""
        raise NotImplementedError

    @operation
    def _carry_out(self, calls: tuple[Any, ...]) -> Generator[Any, None, BaseException | None]:
        """Start the calls, and wait until all have ended. Return the first interruption that arrived, or None."""
        left = deque(enumerate(calls))
        try:
            if (turn := interruption_first()) is not None:
                yield from turn.wait()
            while True:  # see lock.py
                if not left or self._cancelled:
                    break
                self._begin(*left.popleft())
        except Exception:
            self._cancel(now=False)
            self._put_off((yield from self._all_ended()))
            raise
        finally:
            _drop(call for _, call in left)
        return (yield from self._all_ended())

    def _put_off(self, interruption: BaseException | None) -> None:
        """Raise an interruption at the next wait, because there is something else to return or raise."""
        if interruption is not None:
            self._owner.scheduler.interrupt(self._owner, interruption)


def _steps_of_call(call: Any) -> Generator[Any, None, Any]:
    made = call()
    if not is_coroutine(made):
        raise not_a_call(call, made)
    return (yield from awaiting(made))


class _All(_Calls):
    """The threads of gather()."""

    __slots__ = ()
    _NAME = "gather()"

    def _begin(self, at: int, call: Any) -> None:
        if is_coroutine(call) or is_lazy(call):
            self._start(call, (), None)
        else:
            self._start(_steps_of_call, (call,), name_of(call))

    def _is_failure(self, thread: Thread[object], error: BaseException) -> bool:
        """Whether a thread has failed. So has one that was cancelled on its own, since there is no result."""
        return not self._cancelled or super()._is_failure(thread, error)

    def _have_succeeded(self, count: int) -> bool:
        with lock:
            kept = list(self._kept or ())
        return len(kept) == count and all(member.thread is not None and member.thread.error is None for member in kept)


@operation
def _gather(calls: tuple[Any, ...]) -> Generator[Any, None, tuple[Any, ...]]:
    interruption: BaseException | None = None
    try:
        with _All(keep_outcomes=True) as threads:
            interruption = yield from threads._carry_out(calls)
            if threads._have_succeeded(len(calls)):
                threads._put_off(interruption)
            else:
                threads._raise(interruption)
            return tuple(threads._outcomes() or ())
    finally:
        del interruption  # its traceback has this frame: avoid a cycle


class _Race(_Calls):
    """The threads of first()."""

    __slots__ = ("errors", "results")
    _NAME = "first()"

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []
        self.errors: dict[int, BaseException] = {}  # by the place of the call

    def _begin(self, at: int, call: Any) -> None:
        self._start(self._attempt, (at, call), name_of(call))

    def _attempt(self, at: int, call: Any) -> Generator[Any, None, None]:
        try:
            if is_coroutine(call):
                check_given(call)
            made = call if is_coroutine(call) else call()
            if not is_coroutine(made):
                raise not_a_call(call, made)
            self.results.append((yield from awaiting(made)))
            self._cancel(now=False)
        except Cancelled as error:
            self.errors[at] = error
            if error.meant_for is currentthread():
                raise
        except Exception as error:
            if is_bad_call(error):
                raise
            if self._cancelled and _ends_cleanup(error):
                report(currentthread(), error)
            else:
                self.errors[at] = error


def _ends_cleanup(error: BaseException) -> bool:
    """Whether an error comes from the cleanup after a cancellation of the current thread."""
    me = currentthread()
    return any(isinstance(one, Cancelled) and one.meant_for is me for one in with_contexts([error]))


@operation
def _first(calls: tuple[Any, ...]) -> Generator[Any, None, Any]:
    interruption: BaseException | None = None
    errors: list[BaseException] = []
    try:
        with _Race() as race:
            interruption = yield from race._carry_out(calls)
            errors = [error for _, error in sorted(race.errors.items())]
            race.errors.clear()  # their tracebacks have frames that refer to it: avoid a cycle
            if race.results:
                race._put_off(interruption)
                return race.results[0]
            race._raise(interruption)
            raise BaseExceptionGroup(f"none of {len(calls)} calls succeeded", errors)
    finally:
        errors = []
        del interruption  # its traceback has this frame: avoid a cycle
