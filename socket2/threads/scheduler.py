"""What all OS threads that serve one scheduler share: poller, timers, ready queue, posted calls and live threads.

Knows which threads wait and which are ready. Must not know how a thread is stepped (stepping.py), nor what an OS thread
does in its loop (member.py). The functions at the end find the scheduler of this OS thread, and all those of the
process. They are here because each Scheduler registers itself, and rouse() must know in which member it is called.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from time import sleep as _pause
from typing import Any, Protocol

import pollers
from pollers import Operation, Poller

from .cancellation import Interruptible, Interruptions
from .crew import Crew, CrewMember
from .inbox import make_first
from .lock import is_held, lock
from .mending import mend
from .resolver import Resolver
from .timers import Timers

# How many threads a warning names.
_NAMED_MAX = 5

# If more calls than this wait in the inbox of a loop that runs, each further one costs an OS thread that does not serve
# the loop a pause. So OS threads that post without end do not outrun the loop, which needs the GIL that they hold.
INBOX_MAX = 1000
_PAUSE_S = 0.001


class PoolThread(threading.Thread):
    """An OS thread of socket2 that only works for others, such as one that makes blocking calls."""


class _Local(threading.local):
    scheduler: Scheduler | None = None
    member: CrewMember | None = None
    end: object = None


local = _Local()


class Stepped(Interruptible, Protocol):
    """What a scheduler knows of a thread."""

    scheduler: Scheduler

    @property
    def name(self) -> str: ...


class Caller(Protocol):
    """Makes blocking calls for threads. osthreads.Pool is the usual one."""

    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Operation[Any]:
        """Make a call. Return its result, or raise its exception.

        Calls with the same `key` may share one call, unless `key` is None. `purpose` appears in listings.
        """


class LoopUser(Protocol):
    """What a scheduler knows of a portal."""

    def _loop_ended(self) -> None: ...


class Scheduler(pollers.Unique):
    """A poller, the timers, the ready queue and the live threads."""

    __slots__ = (  # for limit.c
        "__weakref__",
        "_calls",
        "caller",
        "crew",
        "entry",
        "exiting",
        "has_run",
        "hopeless",
        "inbox",
        "interruptions",
        "loops",
        "now",
        "poller",
        "portals",
        "ready",
        "resolver",
        "threads",
        "timers",
    )

    def __init__(self, poller: Poller | None = None) -> None:
        self.poller = poller if poller is not None else pollers.choose()
        self.now = self.poller.now  # the clock of all sleeps and deadlines, so that they agree with poll()
        self.timers = Timers(self.now)
        self.caller: Caller | None = None  # if None, the pools of osthreads make the blocking calls
        self.resolver: Resolver | None = None  # if None, osthreads asks the system
        self.threads: dict[Any, None] = {}  # used as a set; a dict takes half the memory
        self.ready: deque[Any] = deque()
        self.hopeless = 0  # how many live threads are in a hopeless wait: see Wait
        self.interruptions = Interruptions(self.poller)
        self.inbox: deque[Callable[[], Any]] = deque()
        self._calls = 0  # how many OS threads make a call from the inbox now
        self.portals: weakref.WeakSet[LoopUser] = weakref.WeakSet()  # told when no loop runs any more
        self.has_run = False  # whether a loop has run, or a warning has said that none has
        self.exiting = False  # whether all threads have been cancelled because the process exits
        self.loops: list[CrewMember] = []  # the members whose loops run; at most one without a crew
        # Held to enter or leave a loop, and to start a thread outside one.
        self.entry = pollers.leakproof(threading.RLock())
        self.crew: Crew | None = None  # set once several OS threads may serve the scheduler
        with lock:
            _schedulers[self] = None

    def enqueue(self, thread: Stepped) -> None:
        """Put `thread` into the ready queue, and make sure that the loop sees it."""
        slept = self.rouse()
        self.ready.append(thread)
        if slept:
            self.poller.wakeup()

    def rouse(self) -> bool:
        """Wake the loop if it may be asleep. Return whether it may be.

        Call this before a change that makes a thread ready: it may raise, for lack of stack or memory.
        """
        member = local.member
        if (
            member is not None
            and member.current is not None  # otherwise a signal handler may call this while the loop sleeps
            and member.scheduler is self
            and (self.crew is None or self.crew.leader is member)
        ):
            return False
        self.poller.wakeup()
        return True

    def mend_later(self) -> None:
        """Have the loop call mend(), because a signal handler may have raised in the middle of a change."""
        self.inbox.append(_mend)
        try:
            self.poller.wakeup()
        except RuntimeError:
            pass  # the poller has been shut down, or belongs to the parent process

    def interrupt(self, thread: Stepped, error: BaseException) -> None:
        """Raise `error` in `thread`, at its current wait, or at its next one if this has already ended.

        The thread runs when its turn comes. This is the usual way to interrupt a thread. Call it where at_hand() is
        true, or in a posted call. Stepper.interrupt() runs the thread inside the call.
        """
        with lock:
            try:
                if self.interruptions.end_wait(thread, error):
                    self.ready.append(thread)  # not enqueue(), which might raise now that the wait has ended
                    self.rouse()
            except BaseException:
                self.mend_later()
                raise

    def at_hand(self) -> bool:
        """Whether the caller may end waits now, and learn the result. If not, it must post() its request.

        False in an OS thread that does not serve this scheduler, and in a signal handler that runs in the middle of a
        change or between two steps.
        """
        if local.scheduler is not self or is_held():
            return False
        member = local.member
        return member is None or not member.is_between_steps()

    def post(self, call: Callable[[], Any]) -> None:
        """Have the loop make a call between two steps. Any OS thread and any signal handler may call this."""
        self.poller.wakeup()  # if this raises, nothing has changed yet
        self.inbox.append(call)
        try:
            self.poller.wakeup()
        except BaseException:
            self.mend_later()  # this wakes the poller, too
            raise
        if len(self.inbox) > INBOX_MAX and local.scheduler is not self and self.loops and not is_held():
            _pause(_PAUSE_S)

    def make_call(self) -> bool:
        """Make the first posted call. Return False if there is none: another member was faster."""
        self._calls += 1
        try:
            return make_first(self.inbox)
        finally:
            self._calls -= 1

    def anything_to_wait_for(self) -> bool:
        """Whether a thread is ready, or something other than a thread can still make one ready."""
        if len(self.threads) > self.hopeless or self.ready or self.inbox:
            return True
        with lock:  # so that another OS thread is not in the middle of a change
            if len(self.threads) > self.hopeless or self.ready or self.inbox or self._calls:
                return True
            return self.timers.armed > 0  # a deadline may end a hopeless wait

    def loop_ended(self) -> None:
        """Tell the portals that no OS thread runs the loop any more. A second call does the rest of the first."""
        with lock:
            portals = list(self.portals)
        for portal in portals:
            portal._loop_ended()


def _mend() -> None:
    """Call mend(). Scheduler.mend_later() posts this function, which is not a method, to avoid a cycle.

    If another member leads by now, that one does it: what its poll() has made ready may be in no queue yet.
    """
    scheduler = local.scheduler
    if scheduler is None:
        return
    with lock:
        if scheduler.crew is None or scheduler.crew.leader is local.member:
            mend(scheduler)
            return
    scheduler.mend_later()


def leave_to_loop(call: Callable[[], Any]) -> bool:
    """Post `call` and return True if this OS thread is in the middle of a change. Otherwise return False.

    A signal handler or finalizer may come in the middle of one. Any loop that runs can make the call.
    """
    scheduler = _that_runs() if is_held() else None
    if scheduler is None:
        return False
    scheduler.post(call)
    return True


def _that_runs() -> Scheduler | None:
    """Return a scheduler whose loop runs. If there is none, return the one of this OS thread, or None."""
    own = local.scheduler
    if own is not None and own.loops:
        return own
    return next((scheduler for scheduler in schedulers() if scheduler.loops), own)


def other_os_threads() -> bool:
    """Whether another OS thread is alive that could resume a thread of this one. A PoolThread could not."""
    return sum(not isinstance(thread, PoolThread) for thread in threading.enumerate()) > 1


def find_scheduler(poller_name: str, fd: int) -> Scheduler | None:
    """Return the scheduler whose poller has this name and this descriptor, or None."""
    for scheduler in schedulers():
        try:
            if scheduler.poller.name == poller_name and scheduler.poller.fileno() == fd:
                return scheduler
        except (OSError, ValueError):
            pass  # shut down
    return None


def current_scheduler() -> Scheduler:
    """Return the scheduler of this OS thread. The first call makes it."""
    scheduler = local.scheduler
    if scheduler is None:
        scheduler = local.scheduler = Scheduler()
        if threading.current_thread() is not threading.main_thread():
            local.end = _EndOfOSThread(scheduler)
    return scheduler


def warn_if_never_run(scheduler: Scheduler) -> None:
    """Warn if `scheduler` has threads, and no loop has ever run them. Call it when none will, or is expected to.

    Not for the main OS thread: a Ctrl-C or sys.exit() may have come just before its loop, and nobody can tell.
    """
    if scheduler.has_run or not scheduler.threads:
        return
    scheduler.has_run = True  # one warning is enough
    names = [repr(thread.name) for thread in scheduler.threads]
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    warnings.warn(
        f"no loop was run in the OS thread that started {', '.join(names[:_NAMED_MAX])}{more}, so nothing continues "
        "after the first wait: call run() or start() there, or use portal.spawn() to start threads of another loop",
        RuntimeWarning,
        stacklevel=2,
    )


class _EndOfOSThread:
    """Is dropped with the other thread-local data of an OS thread, when this ends, or else when the process exits."""

    __slots__ = ("_scheduler",)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = weakref.ref(scheduler)

    def __del__(self) -> None:
        scheduler = self._scheduler()
        if scheduler is None or sys.is_finalizing() or scheduler not in _schedulers:
            return  # `not in`: a forked child does not warn of its parent's
        warn_if_never_run(scheduler)


def schedulers() -> list[Scheduler]:
    """Return the schedulers of all OS threads of this process, in the order in which they were made."""
    with lock:
        return list(_schedulers)


# A forked child must not end the parent's threads, because their `finally` blocks would change what belongs to the
# parent. So `_held` keeps the schedulers alive during the fork, and in the child for good.
_schedulers: weakref.WeakKeyDictionary[Scheduler, None] = weakref.WeakKeyDictionary()
_held: list[Scheduler] = []


def _before_fork() -> None:
    _held.extend(_schedulers)


def _after_fork_in_child() -> None:
    local.scheduler = local.member = None
    for scheduler in _schedulers:
        scheduler.crew = None  # its other members do not exist in the child
        scheduler.entry = pollers.leakproof(threading.RLock())
    _schedulers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_held.clear, after_in_child=_after_fork_in_child)
