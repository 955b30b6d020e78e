"""Waits that a cancellation does not cut short: it is raised at the thread's next wait instead.

So what has begun comes to its end, and its outcome is delivered. Use this only for what ends by itself, and soon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from pollers import Cancelled, Operation, leakproof, operation

from .milestone import Milestone
from .osthreads import call_in_thread
from .scope import timeout
from .thread import currentthread, interruption_first

T = TypeVar("T")


@operation
def unbroken(doing: Operation[T], *earlier: BaseException) -> Generator[Any, None, T]:
    """Run an operation to its end, and return its result.

    The cancellations that come meanwhile, and the `earlier` ones, are raised at the next waits, each at one.
    """
    try:
        with timeout(None, shield=True):
            _raise_again(earlier)
            return (yield from doing)
    finally:
        del earlier  # the traceback of an error has this frame: avoid a cycle


def _raise_again(errors: tuple[BaseException, ...]) -> None:
    """Have the shield that the current thread is in hold back the errors."""
    me = currentthread()
    for error in errors:
        me.scheduler.interrupt(me, error)


class _Begun(Generic[T]):
    """A call that is carried to its end, once it has begun."""

    def __init__(self, func: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._func = func
        self._args = args
        self._changed = leakproof(threading.Lock())
        self._begun = self._dropped = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._end = Milestone("end of a call in an OS thread")

    def make(self) -> None:
        """Make the call, in an OS thread."""
        with self._changed:
            if self._dropped:
                return
            self._begun = True
        try:
            self._result = self._func(*self._args)
        except BaseException as error:
            self._error = error
        self._end.reach()

    @property
    def begun(self) -> bool:
        return self._begun

    def drop(self) -> bool:
        """Do not make the call. Return False if it has begun."""
        with self._changed:
            self._dropped = not self._begun
            return self._dropped

    def ended(self) -> Operation[None]:
        """Wait until the call has ended."""
        return self._end.reached()

    def outcome(self) -> T:
        """Return the result, or raise the error. Call it once."""
        error, self._error = self._error, None
        if error is None:
            return self._result  # type: ignore[return-value]
        try:
            raise error
        finally:
            del error  # its traceback has this frame: avoid a cycle


@operation
def call_unbroken(func: Callable[..., T], *args: Any) -> Generator[Any, None, T]:
    """Call `func(*args)` in an OS thread, as call_in_thread() does, and deliver its outcome in any case.

    A cancellation or timeout drops the call if it has not begun. Otherwise it is raised at the next wait. If no OS
    thread can be started, as in a cleanup at the exit of the process, the call is made in this one.
    """
    if (turn := interruption_first()) is not None:
        yield from turn.wait()
    call = _Begun(func, args)
    try:
        yield from call_in_thread(call.make)
    except RuntimeError:
        if call.begun:
            raise
        call.make()
    except Cancelled as error:
        if call.drop():
            raise
        yield from unbroken(call.ended(), error)
    return call.outcome()
