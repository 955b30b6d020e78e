"""When each thread was started and by whom, and since when it runs or waits. Known while debugging is on.

A generator stands between a thread and its coroutine and looks at the clock. So the scheduler takes no time, a thread
has no room for one, and a thread that is not watched pays nothing. It is a generator, and no object with a send(),
because a traceback would hold the frame of a send(), and with it the scheduler's.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Generator
from threading import get_ident
from time import monotonic
from typing import Any

from ..threads.chain import behind
from ..threads.thread import Thread

running: dict[int, Times] = {}
"""Whose turn it is in each OS thread, by its ident. A thread that is started in the midst of a turn is part of it."""

overran: Callable[[Times, float], Any] | None = None
"""Called after a turn with how many seconds it took."""


class Times:
    """The times of one thread, in seconds of time.monotonic()."""

    __slots__ = ("_coro", "_starter", "began", "name", "since", "started_by", "steps")

    def __init__(self, thread: Thread, starter: Thread | None, began: float | None) -> None:
        self._coro = weakref.ref(thread._coro)
        self.name = thread.name
        self.began = began
        self.since = began
        """When it began to run, or to wait, whichever it does. None: before debugging was switched on."""
        self.started_by = starter.name if starter is not None else None
        self._starter = weakref.ref(starter) if starter is not None else None
        self.steps = 0

    @property
    def coro(self) -> Any:
        return self._coro()

    @property
    def starter(self) -> Thread | None:
        """The thread that has started it, while that is known to anybody."""
        return self._starter() if self._starter is not None else None

    def begin(self) -> None:
        self.steps += 1
        self.since = monotonic()
        running.setdefault(get_ident(), self)

    def end(self) -> None:
        began, self.since = self.since, monotonic()
        if running.get(get_ident()) is self:
            del running[get_ident()]
            if overran is not None and began is not None:
                overran(self, self.since - began)


# Weak, and so is all that a Times knows: else it would keep its thread alive.
_times: weakref.WeakKeyDictionary[Thread, Times] = weakref.WeakKeyDictionary()


def _watched(coro: Any, times: Times) -> Generator[Any, Any, Any]:
    """A coroutine, step by step. Has to be brought to its first yield."""
    waits_for = None
    while True:
        try:
            argument = yield waits_for
            resume = coro.send
        except GeneratorExit:
            raise  # the thread was dropped, and its coroutine goes the same way
        except BaseException as error:
            resume, argument = coro.throw, error
        try:
            times.begin()
            waits_for = resume(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            times.end()
            del resume, argument  # an error, in whose traceback this frame will be: no cycle


def adopt(thread: Thread, starter: Thread | None) -> None:
    """Watch a thread that is about to take its first step."""
    _watch(thread, Times(thread, starter, monotonic()))


def adopt_late(thread: Thread) -> None:
    """Watch a thread from its next step on. In the OS thread that runs it."""
    if not thread.done and times_of(thread) is None:
        _watch(thread, Times(thread, None, None))


def _watch(thread: Thread, times: Times) -> None:
    _times[thread] = times
    coro = thread._coro
    thread._coro = _watched(coro, times)
    next(thread._coro)
    behind[thread._coro] = coro


def times_of(thread: Thread) -> Times | None:
    """Return a thread's times, if it is watched and has not ended."""
    return None if thread.done else _times.get(thread)


def coroutine_of(thread: Thread) -> Any:
    """Return a thread's generator or coroutine, None when it has ended."""
    times = times_of(thread)
    return times.coro if times is not None else thread._coro


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=running.clear)
