"""What runs threads has in common, however many OS threads do it: poller, timers, ready queue, live threads.

Knows who waits and who is ready. How a wait is interrupted is in cancellation.py. What an OS thread does with it is
its member's part.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable
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


class PoolThread(threading.Thread):
    """An OS thread that makes blocking calls for threads that wait for them, and does nothing of its own."""


class _Local(threading.local):
    scheduler: Scheduler | None = None
    member: CrewMember | None = None


local = _Local()


class Stepped(Interruptible, Protocol):
    """A thread, as its scheduler knows it."""

    scheduler: Scheduler

    @property
    def name(self) -> str: ...


class Caller(Protocol):
    """Makes blocking calls for threads."""

    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Operation[Any]:
        """Make a call, and return or raise its outcome. Those with one `key`, unless that is None, may share a call."""


class Scheduler(pollers.Unique):
    """A poller, the timers, the ready queue and the live threads."""

    def __init__(self, poller: Poller | None = None) -> None:
        self.poller = poller if poller is not None else pollers.choose()
        self.now = self.poller.now  # the clock of all its deadlines: who waits says what time it is
        self.timers = Timers(self.now)
        self.caller: Caller | None = None  # of what blocks, if one was given; else osthreads has its pools
        self.resolver: Resolver | None = None  # of names, if one was given; else osthreads has the system's
        self.threads: dict[Any, None] = {}  # a set, which takes half the room as a dict
        self.ready: deque[Any] = deque()
        self.hopeless = 0  # live threads that only another thread can wake
        self.interruptions = Interruptions(self.poller)
        self.inbox: deque[Callable[[], Any]] = deque()
        self._calls = 0  # how many OS threads make one from the inbox
        self.loops: list[CrewMember] = []  # whose loops run: one at the most, as long as there is no crew
        self.entry = threading.RLock()  # held to enter or leave a loop, and while a thread is started outside one
        self.crew: Crew | None = None  # the OS threads that serve it, once they may be several
        with lock:
            _schedulers[self] = None

    def enqueue(self, thread: Stepped) -> None:
        """`thread` goes on when its turn comes."""
        slept = self.rouse()
        self.ready.append(thread)
        if slept:
            self.poller.wakeup()

    def rouse(self) -> bool:
        """Wake the loop that will run what is about to become ready, if it may be asleep; return whether it may.

        Comes before any change: it may raise, where the stack or the memory ends.
        """
        member = local.member
        if (
            member is not None
            and member.current is not None  # else this may be a signal handler, that has come while the loop is asleep
            and member.scheduler is self
            and (self.crew is None or self.crew.leader is member)
        ):
            return False
        self.poller.wakeup()
        return True

    def doubt(self) -> None:
        """A signal handler may have raised in the middle of a change. Have the loop see what that has cost."""
        self.inbox.append(_mend)
        try:
            self.poller.wakeup()
        except RuntimeError:
            pass  # it has been shut down, or is the parent's

    def interrupt(self, thread: Stepped, error: BaseException) -> None:
        """Raise `error` in `thread` at the wait it is in, or at its next one if that has finished."""
        with lock:
            try:
                if self.interruptions.end_wait(thread, error):
                    self.ready.append(thread)  # here: where that has not raised, this does not
                    self.rouse()
            except BaseException:
                self.doubt()
                raise

    def at_hand(self) -> bool:
        """Whether the caller may end waits now, and see what comes of it; else it is to post what it wants.

        So must another OS thread, and a signal handler that comes in the middle of a change, or between two steps.
        """
        if local.scheduler is not self or is_held():
            return False
        member = local.member
        return member is None or not member.is_between_steps()

    def post(self, call: Callable[[], Any]) -> None:
        """Have the loop make a call between two steps. From any OS thread or signal handler."""
        self.poller.wakeup()  # raises here, if at all, where nothing has changed
        self.inbox.append(call)
        self.poller.wakeup()

    def make_call(self) -> bool:
        """Make the first of the calls that were posted; False: another member was faster."""
        self._calls += 1
        try:
            return make_first(self.inbox)
        finally:
            self._calls -= 1

    def anything_to_wait_for(self) -> bool:
        if len(self.threads) > self.hopeless or self.ready or self.inbox:
            return True
        with lock:  # what another OS thread has begun to change is not to be read in the middle of that
            if len(self.threads) > self.hopeless or self.ready or self.inbox or self._calls:
                return True
            return self.timers.armed > 0  # a deadline, on what only another thread could end


def _mend() -> None:
    """Posted by Scheduler.doubt(), to its loop. Without a reference to it, so that there is no cycle."""
    if local.scheduler is not None:
        mend(local.scheduler)


def leave_to_loop(call: Callable[[], Any]) -> bool:
    """Post `call`, and return True, where a signal handler or a finalizer has come into the middle of a change.

    That is one of this OS thread's own. One without a scheduler changes nothing that others could come across.
    """
    if not is_held() or local.scheduler is None:
        return False
    local.scheduler.post(call)
    return True


def other_os_threads() -> bool:
    """Whether an OS thread is alive that could resume one of ours. A pool's own could not."""
    return sum(not isinstance(thread, PoolThread) for thread in threading.enumerate()) > 1


def find_scheduler(poller_name: str, fd: int) -> Scheduler | None:
    """Return the scheduler whose poller of that name has this descriptor."""
    for scheduler in schedulers():
        try:
            if scheduler.poller.name == poller_name and scheduler.poller.fileno() == fd:
                return scheduler
        except (OSError, ValueError):
            pass  # shut down
    return None


def current_scheduler() -> Scheduler:
    """Return this OS thread's scheduler, making it when there is none yet."""
    scheduler = local.scheduler
    if scheduler is None:
        scheduler = local.scheduler = Scheduler()
    return scheduler


def schedulers() -> list[Scheduler]:
    """Return those of all OS threads of this process, in the order they were made."""
    with lock:
        return list(_schedulers)


# A forked child must not end the parent's threads: their `finally` blocks are about the parent's affairs. The
# schedulers are held while the fork takes the other OS threads away, and in the child for good.
_schedulers: weakref.WeakKeyDictionary[Scheduler, None] = weakref.WeakKeyDictionary()
_held: list[Scheduler] = []


def _before_fork() -> None:
    _held.extend(_schedulers)


def _after_fork_in_child() -> None:
    local.scheduler = local.member = None
    for scheduler in _schedulers:
        scheduler.crew = None  # who waits for the others would wait for ever
        scheduler.entry = threading.RLock()
    _schedulers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_held.clear, after_in_child=_after_fork_in_child)
