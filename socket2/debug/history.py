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
from .stacks import Place, frames_of_coroutine, place_in_program, places_of

running: dict[int, Times] = {}
"""The thread that runs in each OS thread, by ident. A turn within another one, such as a first step, is its own."""

overran: Callable[[Times, float], Any] | None = None
"""Called after each turn with its times and how many seconds it took."""


_WINDOW_S = 10.0
_KINDS_MAX = 5000


class Tally:
    """What the threads of one kind have done in one OS thread. Only that OS thread changes it."""

    __slots__ = ("_at", "_before_at", "_before_s", "_slow_s", "_window", "ran_s", "started", "turns")

    def __init__(self) -> None:
        self.started = 0
        self.turns = 0
        self.ran_s = 0.0
        self._window = 0.0  # when it began
        self._slow_s = self._before_s = 0.0  # the longest turn in this window, and in the one before
        self._at: Place | None = None  # where that turn ended
        self._before_at: Place | None = None

    def note(self, began: float, took_s: float, coro: Any) -> None:
        """Note a turn that is over."""
        self.ran_s += took_s
        if began - self._window >= _WINDOW_S:
            self._before_s, self._before_at = self.slowest(began)
            self._window, self._slow_s = began, 0.0
        if took_s > self._slow_s:
            self._slow_s = took_s
            self._at = place_in_program(places_of(frames_of_coroutine(coro)))

    def slowest(self, now: float) -> tuple[float, Place | None]:
        """Return the longest turn of the last ten to twenty seconds, and where it ended."""
        windows = (now - self._window) // _WINDOW_S
        slow = [(self._slow_s, self._at)] * (windows < 2) + [(self._before_s, self._before_at)] * (windows < 1)
        return max(slow, key=lambda each: each[0], default=(0.0, None))


tallies: dict[tuple[int, str], Tally] = {}
"""By OS thread and kind."""


def _new_tally(ident: int, kind: str) -> Tally:
    if len(tallies) >= _KINDS_MAX:
        kind = "(others)"
    return tallies.setdefault((ident, kind), Tally())


_WRAPPERS = {"Proxied.serve", "Secured.serve", "_steps_of_awaitable", "_steps_of_call"}


def kind_of(thread: Thread[object], coro: Any) -> str:
    """Return the name of the function that a thread runs."""
    name = getattr(coro, "__qualname__", None)
    if name is None or name in _WRAPPERS:
        return thread.name.partition(" ")[0]
    return str(name)


class Times:
    """The times of one thread, in seconds of its loop's clock. Only `turn` is a time.monotonic()."""

    __slots__ = (
        "_coro",
        "_entered",
        "_now",
        "_outer",
        "_starter",
        "began",
        "kind",
        "name",
        "since",
        "started_by",
        "steps",
        "turn",
    )

    def __init__(self, thread: Thread[object], starter: Thread[object] | None, began: float | None) -> None:
        self._coro = weakref.ref(thread._coro)
        self._now = thread.scheduler.now
        self.name = thread.name
        self.kind = kind_of(thread, thread._coro)
        self.began = began
        self.turn: float | None = None
        """When the thread's turn began, while it runs. Later by as long as the turns within it took."""
        self._outer: Times | None = None  # the turn that this one is in
        self._entered = 0.0  # when the turn began, whatever it contains
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
        ident = get_ident()
        outer = running.get(ident)
        self._outer = outer if outer is not None and outer.is_running() else None
        self.turn = self._entered = monotonic()
        running[ident] = self

    def end(self) -> None:
        began, self.turn = self.turn, None
        self.since = self._now()
        ident = get_ident()
        tally = tallies.get((ident, self.kind)) or _new_tally(ident, self.kind)
        tally.turns += 1
        if running.get(ident) is not self or began is None:  # a signal handler raised in begin()
            return
        now = monotonic()
        took_s = now - began
        outer, self._outer = self._outer, None
        if outer is None or outer.turn is None:
            del running[ident]
        else:
            running[ident] = outer
            outer.turn += now - self._entered
        tally.note(began, took_s, self._coro())
        if overran is not None:
            overran(self, took_s)

    def is_running(self) -> bool:
        """Whether it is in a turn. A signal handler that raised may have kept end() from noting the end of the last."""
        coro = self._coro()
        return self.turn is not None and bool(getattr(coro, "gi_running", False) or getattr(coro, "cr_running", False))


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
    times = Times(thread, starter, thread.scheduler.now())
    ident = get_ident()
    (tallies.get((ident, times.kind)) or _new_tally(ident, times.kind)).started += 1
    _watch(thread, times)


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
    os.register_at_fork(after_in_child=tallies.clear)
