"""Waiting on purpose: sleep, suspend and resume, and waiting until the system has room."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from pollers import Exhausted, Operation, operation

from .thread import Thread, currentthread
from .timers import Timer, duration
from .wait import Pass, Suspension, Wait

T = TypeVar("T")


def sleep(seconds: float) -> Operation[None]:
    """Wait for `seconds`, never less. 0 lets every thread that is ready run first.

    ValueError for a negative number, RuntimeError outside a thread. Cancelled: ends at once.
    """
    currentthread()
    return _sleep(duration(seconds))


@operation
def _sleep(seconds: float) -> Generator[Any, None, None]:
    if seconds == 0:
        yield from Pass("sleep of 0 s").wait()
        return
    wait = Wait(f"sleep of {seconds:g} s")
    scheduler = currentthread().scheduler
    timer = Timer(scheduler.timers, wait.finish)
    try:
        timer.arm(scheduler.now() + seconds)
        yield from wait.wait()
    finally:
        timer.disarm()


def suspend() -> Operation[Any]:
    """Wait until resume() is called for this thread; return the value given there.

    RuntimeError outside a thread. Cancelled, or out of time: a resume() that comes later raises. (luapower's suspend)
    """
    currentthread()
    return Suspension("suspended").wait()


def resume(thread: Thread, value: Any = None) -> None:
    """Make `thread`'s suspend() return `value`, when its turn comes. From any OS thread, and from a signal handler.

    RuntimeError when it is not suspended, or was resumed already. This cannot be told from another OS thread, nor by a
    signal handler that comes between two steps: then a resume that comes too early or too late is without effect.
    (luapower's resume)
    """
    scheduler = thread.scheduler
    if not scheduler.at_hand():
        scheduler.post(functools.partial(_resume, thread, value))
    elif not _resume(thread, value):
        raise RuntimeError(f"{thread!r} is not suspended")


def _resume(thread: Thread, value: Any) -> bool:
    wait = thread.waiting_on
    return isinstance(wait, Suspension) and wait.finish(value)


@operation
def persist(
    make: Callable[[], Operation[T]],
    again_s: float,
    again_max_s: float,
    tell: Callable[[Exhausted], None] | None = None,
) -> Generator[Any, None, T]:
    """Do what `make()` makes, again and again while the system has no room for it, at longer and longer intervals.

    `tell` is called the first time it has none.
    """
    while True:
        try:
            return (yield from make())
        except Exhausted as error:
            if tell is not None:
                tell(error)
                tell = None
        yield from sleep(again_s)
        again_s = min(again_s * 2, again_max_s)
