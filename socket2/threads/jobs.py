"""Functions that are called later, once or repeatedly. Each job is a thread, which sleeps until its time comes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import floor
from typing import Any

from pollers import operation

from .coroutines import awaiting, is_coroutine
from .loop import newthread, now
from .sleeping import sleep
from .thread import Thread, currentthread, report
from .timers import duration, moment


def runat(when: float, func: Callable[..., Any], *args: Any) -> Thread:
    """Call `func(*args)` at the time `when`, in seconds on the clock of now(). Return the thread that does it.

    `func` is never called early. If `when` has passed, it is called as soon as possible. `func` is a plain function, a
    generator function or an `async def` function. To stop the job, cancel() the thread, even while `func` runs. join()
    returns what `func` returned, or raises its exception. If no thread is joining then, crashhook() reports it.
    Raises TypeError if `func` is not callable or `when` is not a number; ValueError if `when` is NaN.
    (luapower's runat)
    """
    return _job(func, _at, moment(when), func, args)


def runafter(seconds: float, func: Callable[..., Any], *args: Any) -> Thread:
    """Call `func(*args)` after `seconds`. Otherwise the same as runat().

    Raises TypeError if `func` is not callable or `seconds` is not a number; ValueError if `seconds` is negative or NaN.
    (luapower's runafter)
    """
    return _job(func, _at, now() + duration(seconds), func, args)


def runevery(seconds: float, func: Callable[..., Any], *args: Any) -> Thread:
    """Call `func(*args)` every `seconds`, for the first time after `seconds`. Return the thread that does it.

    All times are multiples of `seconds` after this call, so they do not drift. Times that pass while `func` still runs
    are skipped. The job ends when `func` returns False, or when its thread is cancelled. If `func` raises an exception,
    crashhook() reports it, and the job goes on. `func` is as in runat().
    Raises TypeError if `func` is not callable or `seconds` is not a number; ValueError if `seconds` is not positive.
    (luapower's runevery)
    """
    if duration(seconds) == 0:
        raise ValueError("the interval of a job must be positive, not 0")
    return _job(func, _every, now(), float(seconds), func, args)


def _job(func: Callable[..., Any], steps: Callable[..., Any], *args: Any) -> Thread:
    if not callable(func):
        raise TypeError(f"a job needs a function, not {func!r}")
    return newthread(steps, *args, name=getattr(func, "__qualname__", None))


@operation
def _at(when: float, func: Callable[..., Any], args: tuple[Any, ...]) -> Generator[Any, None, Any]:
    yield from _until(when)
    return (yield from _call(func, args))


@operation
def _every(begun: float, seconds: float, func: Callable[..., Any], args: tuple[Any, ...]) -> Generator[Any, None, None]:
    times = 0
    while True:
        times = max(times, floor((now() - begun) / seconds)) + 1
        yield from _until(begun + times * seconds)
        try:
            if (yield from _call(func, args)) is False:
                return
        except Exception as error:
            report(currentthread(), error)


@operation
def _until(when: float) -> Generator[Any, None, None]:
    while (left := when - now()) > 0:
        yield from sleep(left)


@operation
def _call(func: Callable[..., Any], args: tuple[Any, ...]) -> Generator[Any, None, Any]:
    made = func(*args)
    return (yield from awaiting(made)) if is_coroutine(made) else made
