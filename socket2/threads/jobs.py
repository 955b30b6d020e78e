"""Functions that are called later, once or repeatedly. Each job is a thread, which sleeps until its time comes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from math import floor
from typing import Any, overload

from pollers import Operation, operation

from .coroutines import A, P, S, T, Y, name_of, steps_of_call
from .loop import newthread, now
from .sleeping import sleep
from .thread import Thread, currentthread, report
from .timers import duration, moment


@overload
def runat(when: float, func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def runat(when: float, func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def runat(when: float, func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def runat(when: float, func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Thread[Any]: ...
@overload
def runat(when: float, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
def runat(when: float, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Thread[Any]:
    """Call `func(*args, **kwargs)` at the time `when`, in seconds on the clock of now().

    Return the thread that does it. `func` is never called early. If `when` has passed, it is called as soon as
    possible. `func` is a plain function, a generator function or an `async def` function. To stop the job, cancel() the
    thread, even while `func` runs. join() returns what `func` returned, or raises its exception. If no thread is
    joining then, crashhook() reports it.
    Raises TypeError if `func` is not callable or `when` is not a number; ValueError if `when` is NaN.
    (luapower's runat)
    """
    return _job(_at, func, args, kwargs, moment(when))


@overload
def runafter(
    seconds: float, func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs
) -> Thread[T]: ...
@overload
def runafter(
    seconds: float, func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs
) -> Thread[T]: ...
@overload
def runafter(seconds: float, func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def runafter(seconds: float, func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Thread[Any]: ...
@overload
def runafter(seconds: float, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
def runafter(seconds: float, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Thread[Any]:
    """Call `func(*args, **kwargs)` after `seconds`. Otherwise the same as runat().

    Raises TypeError if `func` is not callable or `seconds` is not a number; ValueError if `seconds` is negative or NaN.
    (luapower's runafter)
    """
    return _job(_at, func, args, kwargs, now() + duration(seconds))


def runevery(seconds: float, func: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Thread[None]:
    """Call `func(*args, **kwargs)` every `seconds`, for the first time after `seconds`. Return the thread that does it.

    All times are multiples of `seconds` after this call, so they do not drift. Times that pass while `func` still runs
    are skipped. The job ends when `func` returns False, or when its thread is cancelled. If `func` raises an exception,
    crashhook() reports it, and the job goes on. `func` is as in runat().
    Raises TypeError if `func` is not callable or `seconds` is not a number; ValueError if `seconds` is not positive.
    (luapower's runevery)
    """
    if duration(seconds) == 0:
        raise ValueError("the interval of a job must be positive, not 0")
    return _job(_every, func, args, kwargs, now(), float(seconds))


def _job(
    steps: Callable[..., Any], func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *when: float
) -> Thread[Any]:
    if not callable(func):
        raise TypeError(f"a job needs a function, not {func!r}")
    return newthread(steps, partial(func, *args, **kwargs), *when, name=name_of(func))


@operation
def _at(call: Callable[[], Any], when: float) -> Generator[Any, None, Any]:
    yield from _until(when)
    return (yield from steps_of_call(call))


@operation
def _every(call: Callable[[], Any], begun: float, seconds: float) -> Generator[Any, None, None]:
    times = 0
    while True:
        times = max(times, floor((now() - begun) / seconds)) + 1
        yield from _until(begun + times * seconds)
        try:
            if (yield from steps_of_call(call)) is False:
                return
        except Exception as error:
            report(currentthread(), error)


@operation
def _until(when: float) -> Generator[Any, None, None]:
    while (left := when - now()) > 0:
        yield from sleep(left)
