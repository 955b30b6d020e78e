"""Deliberate waits: sleep, suspend and resume, and retrying while the system has no room."""

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
    """Wait for at least `seconds`. With 0, let every ready thread run first.

    A cancellation or timeout ends the sleep at once. Raises TypeError if `seconds` is not a number; ValueError if it is
    negative or NaN; RuntimeError outside a thread. (luapower's sleep)
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
    """Wait until resume() is called for this thread. Return the value that it passes.

    After a cancellation or timeout the thread is not suspended any more. Raises RuntimeError outside a thread.
    (luapower's suspend)
    """
    currentthread()
    return Suspension("suspended").wait()


def resume(thread: Thread[object], value: Any = None) -> None:
    """Make the suspend() of `thread` return `value`, when the thread's turn comes.

    If a cancellation or timeout has ended the suspend(), and the thread has not run since, this has no effect, because
    the thread has had no chance to tell anybody. Any OS thread and any signal handler may call this. Raises
    RuntimeError if the thread is not suspended, or has already been resumed; TypeError if it is no Thread. In an OS
    thread that does not serve the same scheduler, in a signal handler that runs between two steps, and at the exit of
    the process, which cancels all threads, such a call has no effect instead. (luapower's resume)
    """
    try:
        scheduler = thread.scheduler
    except AttributeError:
        raise TypeError(f"resume() needs a Thread, not {thread!r}") from None
    if not scheduler.at_hand():
        scheduler.post(functools.partial(_resume, thread, value))
    elif not _resume(thread, value) and not scheduler.exiting:
        raise RuntimeError(f"{thread!r} is not suspended")


def _resume(thread: Thread[object], value: Any) -> bool:
    """Return False if the thread is not suspended. One that was interrupted counts as suspended until it runs."""
    wait = thread.waiting_on
    return isinstance(wait, Suspension) and (wait.finish(value) or not wait.finished)


@operation
def persist(
    make: Callable[[], Operation[T]],
    again_s: float,
    again_max_s: float,
    tell: Callable[[Exhausted], None] | None = None,
) -> Generator[Any, None, T]:
    """Run the operation that `make()` returns. Repeat this while it raises Exhausted: the system has no room for it.

    The first pause takes `again_s` seconds, and each further one twice as long, up to `again_max_s`. `tell` is called
    with the first error.
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
