"""What the threads of this process are doing now, as data.

Only this module of debugging knows where the scheduler, the timers and the waits keep their state. It reads them while
other OS threads go on: each fact was true when it was read, but two facts may be from different instants.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal, TypeAlias, TypeVar, cast

from pollers import Poller

from ..sockets.address import format_address
from ..threads.deadline import Deadline
from ..threads.member import Member
from ..threads.scheduler import Scheduler, schedulers
from ..threads.thread import Thread
from ..threads.wait import Wait
from .history import coroutine_of, times_of
from .stacks import (
    Place,
    frames_of_coroutine,
    frames_of_os_threads,
    frames_of_running,
    is_running,
    place_in_program,
    places_of,
)

T = TypeVar("T")

_DEBUGGING = {__name__, "socket2.debug", "socket2.debug.listing", "socket2.debug.stacks"}

State: TypeAlias = Literal["running", "ready", "waiting", "ended"]


@dataclass(frozen=True, slots=True, eq=False)
class ThreadInfo:
    """What one thread is doing. Times are in seconds. None means unknown."""

    thread: Thread[object] = field(repr=False)
    name: str
    state: State
    """"running", "ready" (it will run soon), "waiting" or "ended"."""
    waits_for: str | None
    """'recv on fd 7', 'sleep of 3 s' or 'join of 'main''; None if it does not wait."""
    local: str | None
    """The local address of the socket that it waits on."""
    peer: str | None
    """The peer's address of that socket."""
    age_s: float | None
    """The time since it started. Known while debugging is on."""
    since_s: float | None
    """How long it has been in this state. Known while debugging is on."""
    deadline_s: float | None
    """How long until its timeout fires or its sleep ends."""
    stack: tuple[Place, ...]
    """The chain of `yield from` and `await`, the outermost place first; for a running thread, its calls."""
    os_thread: str | None
    """The OS thread that runs it now."""
    started_by: str | None
    """The name of the thread that started it. Known while debugging is on."""
    parent: Thread[object] | None = field(repr=False)
    """The thread that started it, or that joins it."""

    @property
    def at(self) -> Place | None:
        """The innermost place in the program's own code."""
        return place_in_program(self.stack)


@dataclass(frozen=True, slots=True)
class LoopStats:
    """The counters of one loop."""

    poller: str
    """The name of the poller."""
    os_threads: tuple[str, ...]
    """The OS threads that are in its loop now."""
    threads: int
    """The number of live threads."""
    ready: int
    """Threads in the ready queue now."""
    timers: int
    """Sleeps and deadlines in progress."""
    attached: int
    """Sockets attached to the poller now."""
    parked: int
    """Operations waiting in the poller now."""
    polls: int
    """How often the poller was asked, in total."""
    events: int
    """How many events the kernel reported, in total."""
    wakeups: int
    """How often the poller was woken from outside, in total."""
    steps: int
    """Turns of the live threads since debugging was switched on."""


class Snapshot:
    """One moment, for any number of questions: `with Snapshot() as now: ...`. Holds frames within the block."""

    def __init__(self) -> None:
        self.os_threads: dict[int, list[FrameType]] = {}
        self._names = {thread.ident: thread.name for thread in threading.enumerate()}
        self._of_schedulers: dict[Scheduler, tuple[set[Thread[object]], dict[object, float], float]] = {}

    def __enter__(self) -> Snapshot:
        self.os_threads = frames_of_os_threads()
        return self

    def __exit__(self, *_: object) -> None:
        self.os_threads.clear()  # the frames of this very call are among them: break the cycle

    def threads(self) -> list[ThreadInfo]:
        """Return what all live threads of the process are doing; those of one loop in the order of their start."""
        return [self.of_thread(thread) for thread in self.alive()]

    def alive(self) -> list[Thread[object]]:
        """Return all live threads of the process."""
        return [thread for scheduler in again(schedulers) for thread in _live(scheduler)]

    def of_thread(self, thread: Thread[object]) -> ThreadInfo:
        coro, waiting = coroutine_of(thread), thread.waiting_on
        times = times_of(thread)
        running, os_thread, frames = self._frames_of(thread, coro)
        ready, deadlines, now = self._of_scheduler(thread.scheduler)
        state: State = "waiting"
        if thread.done:
            state, waiting = "ended", None
        elif running:
            state, waiting = "running", None
        elif thread in ready or waiting is None:
            state = "ready"
        left_s = min((deadlines[key] for key in (thread, waiting) if key in deadlines), default=None)
        local, peer = _addresses(waiting, thread.scheduler.poller)
        return ThreadInfo(
            thread=thread,
            name=thread.name,
            state=state,
            waits_for=_purpose(waiting),
            local=local,
            peer=peer,
            age_s=_past(times.began, now) if times is not None else None,
            since_s=_past(times.since, now) if times is not None else None,
            deadline_s=left_s,
            stack=places_of(frames),
            os_thread=self._names.get(os_thread, f"OS thread {os_thread}") if os_thread is not None else None,
            started_by=times.started_by if times is not None else None,
            parent=(times.starter if times is not None else None) or _joiner(thread),
        )

    def _frames_of(self, thread: Thread[object], coro: Any) -> tuple[bool, int | None, list[FrameType]]:
        """Return whether the thread runs, in which OS thread, and its frames."""
        if coro is None or is_running(coro):
            ident, frames = frames_of_running(coro, self.os_threads)
            if ident is None and coro is not None:  # its turn came meanwhile
                self.os_threads = frames_of_os_threads()
                ident, frames = frames_of_running(coro, self.os_threads)
            return coro is not None, ident, _without_debugging(frames)
        return False, None, frames_of_coroutine(coro)

    def _of_scheduler(self, scheduler: Scheduler) -> tuple[set[Thread[object]], dict[object, float], float]:
        """Return the ready threads, how many seconds remain until each deadline, and the time."""
        found = self._of_schedulers.get(scheduler)
        if found is None:
            now = scheduler.now()
            found = set(again(lambda: list(scheduler.ready))), _deadlines(scheduler, now), now
            self._of_schedulers[scheduler] = found
        return found

    def loops(self) -> list[LoopStats]:
        """Return the counters of every loop in the process."""
        return [self._stats_of(scheduler) for scheduler in again(schedulers)]

    def _stats_of(self, scheduler: Scheduler) -> LoopStats:
        counters = again(scheduler.poller.stats)
        threads = _live(scheduler)
        return LoopStats(
            poller=scheduler.poller.name,
            os_threads=tuple(self._names.get(ident, str(ident)) for ident in self.serving(scheduler)),
            threads=len(threads),
            ready=len(scheduler.ready),
            timers=len(scheduler.timers.heap) - scheduler.timers.useless,
            attached=counters.attached,
            parked=counters.parked,
            polls=counters.polls,
            events=counters.events,
            wakeups=counters.wakeups,
            steps=sum(times.steps for thread in threads if (times := times_of(thread)) is not None),
        )

    def serving(self, scheduler: Scheduler) -> list[int]:
        """Return the idents of the OS threads that are in the loop of this scheduler."""
        return [
            ident
            for ident, frames in self.os_threads.items()
            if any(
                frame.f_globals.get("__name__") == Member.__module__
                and getattr(frame.f_locals.get("self"), "scheduler", None) is scheduler
                for frame in frames
            )
        ]


def _past(when: float | None, now: float) -> float | None:
    return None if when is None else max(now - when, 0)


def _deadlines(scheduler: Scheduler, now: float) -> dict[object, float]:
    """Return how many seconds remain: until the first deadline of a thread, by thread; until a sleep ends, by wait."""
    found: dict[object, float] = {}
    for _, serial, timer in list(scheduler.timers.heap):
        due = timer.due
        key = (
            timer._thread
            if isinstance(timer, Deadline)
            else getattr(getattr(timer, "callback", None), "__self__", None)
        )
        if due is not None and timer.serial == serial and isinstance(key, (Thread, Wait)):
            left_s = due - now
            found[key] = min(left_s, found.get(key, left_s))
    return found


def _live(scheduler: Scheduler) -> list[Thread[object]]:
    return again(lambda: list(scheduler.threads))


def _joiner(thread: Thread[object]) -> Thread[object] | None:
    joins = () if thread.done else again(lambda: list(thread.joins()))
    waiters = (join.waiter for join in joins if isinstance(join, Wait) and join.waiter is not None)
    return cast(Thread[object] | None, next(waiters, None))


def _purpose(waiting: Any) -> str | None:
    if waiting is None:
        return None
    if isinstance(waiting, Wait):
        return waiting.purpose
    return str(waiting.describe()) if hasattr(waiting, "describe") else repr(waiting)


def _addresses(waiting: Any, poller: Poller) -> tuple[str | None, str | None]:
    """Return the addresses of both ends of the socket that a poller's direction belongs to."""
    if not hasattr(waiting, "describe"):
        return None, None
    fd = waiting.fileno()
    if fd < 0:
        return None, None
    try:
        # A second object for the descriptor, for a moment: others are using the socket's own.
        sock = poller.adopt(fd)
    except OSError:
        return None, None
    try:
        return _name(sock.getsockname), _name(sock.getpeername)
    finally:
        sock.detach()


def _name(get: Callable[[], Any]) -> str | None:
    with suppress(OSError):
        return format_address(get()) or None
    return None


def _without_debugging(frames: list[FrameType]) -> list[FrameType]:
    """Drop the frames of debugging: a thread that asks about itself is where it asks."""
    while frames and frames[-1].f_globals.get("__name__") in _DEBUGGING:
        frames = frames[:-1]
    return frames


def again(look: Callable[[], T]) -> T:
    """Repeat `look` until no other OS thread changes what it reads meanwhile."""
    while True:
        try:
            return look()
        except RuntimeError as error:  # "changed size during iteration", or for a deque "mutated during iteration"
            if "during iteration" not in str(error):
                raise
