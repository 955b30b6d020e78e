"""Functions that are called at their time: each in a thread of its own, which sleeps until then. Cancel it to stop."""

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
    """Call `func` at `when`, in seconds of now(), or as soon as possible after; never before.

    Plain functions, generator functions and `async def` will do. Returns the thread that does it: cancel() stops it,
    also while `func` runs, and join() gives what `func` returned. What `func` raises is reported when nobody joins.
    TypeError if `func` cannot be called, or for no number; ValueError for NaN. (luapower's runat)
    """
    return _job(func, _at, moment(when), func, args)


def runafter(seconds: float, func: Callable[..., Any], *args: Any) -> Thread:
    """Call `func` when `seconds` have passed; else as runat(). ValueError for a negative number."""
    return _job(func, _at, now() + duration(seconds), func, args)


def runevery(seconds: float, func: Callable[..., Any], *args: Any) -> Thread:
    """Call `func` every `seconds`, first when they have passed; else as runat().

    Times are counted from now on, so they do not drift; those that pass while `func` still runs are left out. An
    exception of `func` is reported and does not end it; `func` returning False does. ValueError unless `seconds` > 0.
    """
    if duration(seconds) == 0:
        raise ValueError("a job cannot be run every 0 seconds")
    return _job(func, _every, now(), float(seconds), func, args)


def _job(func: Callable[..., Any], steps: Callable[..., Any], *args: Any) -> Thread:
    if not callable(func):
        raise TypeError(f"a function is needed, not {func!r}")
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
