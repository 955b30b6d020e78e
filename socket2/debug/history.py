"""When each thread started, which thread started it, and since when it runs or waits. Recorded while debugging is on.

A generator wraps the thread's coroutine and reads the clock at each step. So the scheduler reads no clock, a thread
stores no times, and an unwatched thread costs nothing. It is a generator, not an object with send(): a traceback would
keep the frame of a Python send(), and with it the scheduler's.
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
"""The thread whose turn it is in each OS thread, by ident. A thread started within a turn belongs to that turn."""

overran: Callable[[Times, float], Any] | None = None
"""Called after each turn with its times and how many seconds it took."""


class Times:
    """The times of one thread, in seconds of its loop's clock. Only `turn` is a time.monotonic()."""

    __slots__ = ("_coro", "_now", "_starter", "began", "name", "since", "started_by", "steps", "turn")

    def __init__(self, thread: Thread[object], starter: Thread[object] | None, began: float | None) -> None:
        self._coro = weakref.ref(thread._coro)
        self._now = thread.scheduler.now
        self.name = thread.name
        self.began = began
        self.turn: float | None = None
        """When the thread's turn began, while it runs."""
        self.since = began
        """When the thread began to run or to wait, whichever it does now. None: that was before debugging was on."""
        self.started_by = starter.name if starter is not None else None
        self._starter = weakref.ref(starter) if starter is not None else None
        self.steps = 0

    @property
    def coro(self) -> Any:
        return self._coro()

    @property
    def starter(self) -> Thread[object] | None:
        """The thread that started this one, as long as anything refers to it."""
        return self._starter() if self._starter is not None else None

    def begin(self) -> None:
        self.steps += 1
        self.since = self._now()
        self.turn = monotonic()
        running.setdefault(get_ident(), self)

    def end(self) -> None:
        began, self.turn = self.turn, None
        self.since = self._now()
        if running.get(get_ident()) is self:
            del running[get_ident()]
            if overran is not None and began is not None:
                overran(self, monotonic() - began)


# Weak, as are the references in a Times. A strong reference would keep the thread alive.
_times: weakref.WeakKeyDictionary[Thread[object], Times] = weakref.WeakKeyDictionary()


def _watched(coro: Any, times: Times) -> Generator[Any, Any, Any]:
    """Run a coroutine step by step. The caller must advance it to its first yield."""
    waits_for = None
    while True:
        try:
            argument = yield waits_for
            resume = coro.send
        except GeneratorExit:
            raise  # the thread was dropped, and so is its coroutine
        except BaseException as error:
            resume, argument = coro.throw, error
        try:
            times.begin()
            waits_for = resume(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            times.end()
            del resume, argument  # an error's traceback would hold this frame: break the cycle


def adopt(thread: Thread[object], starter: Thread[object] | None) -> None:
    """Watch a thread that is about to take its first step."""
    _watch(thread, Times(thread, starter, thread.scheduler.now()))


def adopt_late(thread: Thread[object]) -> None:
    """Watch a thread from its next step on. Call this in the OS thread that runs it."""
    if not thread.done and times_of(thread) is None:
        _watch(thread, Times(thread, None, None))


def _watch(thread: Thread[object], times: Times) -> None:
    _times[thread] = times
    coro = thread._coro
    thread._coro = _watched(coro, times)
    next(thread._coro)
    behind[thread._coro] = coro


def times_of(thread: Thread[object]) -> Times | None:
    """Return a thread's times if it is watched and has not ended."""
    return None if thread.done else _times.get(thread)


def coroutine_of(thread: Thread[object]) -> Any:
    """Return a thread's generator or coroutine, None if it has ended."""
    times = times_of(thread)
    return times.coro if times is not None else thread._coro


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=running.clear)
