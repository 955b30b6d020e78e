"""What runs threads has in common, however many OS threads do it: poller, timers, ready queue, live threads.

Knows who waits and who is ready, and how a wait is interrupted. What an OS thread does with it is its member's part.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol

import pollers
from pollers import STREAK_MAX, Cancelled, Operation, Poller

from .chain import handled_in, with_contexts
from .crew import Crew, Member
from .lock import is_held, lock
from .resolver import Resolver
from .timers import Timers


class PoolThread(threading.Thread):
    """An OS thread that makes blocking calls for threads that wait for them, and does nothing of its own."""


class _Local(threading.local):
    scheduler: Scheduler | None = None
    member: Member | None = None


local = _Local()


class Stepped(Protocol):
    """A thread, as its scheduler knows it."""

    scheduler: Scheduler
    waiting_on: Any
    _coro: Any
    _errors: list[BaseException] | None

    @property
    def name(self) -> str: ...
    @property
    def done(self) -> bool: ...


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
        # Who was interrupted by what, until the scope that it was for has been left; and as the how manieth it was
        # raised, 0 while it has not been.
        self.interrupted: dict[Any, dict[Cancelled, int]] = {}
        self.raised = 0
        self.inbox: deque[Callable[[], Any]] = deque()
        self._calls = 0  # taken from the inbox, and being made
        self.loops: list[Member] = []  # whose loops run: one at the most, as long as there is no crew
        self.entry = threading.RLock()  # held to enter or leave a loop, and while a thread is started outside one
        self.crew: Crew | None = None  # the OS threads that serve it, once they may be several
        with lock:
            _schedulers[self] = None

    def enqueue(self, thread: Stepped) -> None:
        """`thread` goes on when its turn comes."""
        member = local.member
        # Outside a thread this may be a signal handler, and the loop asleep; or another member sleeps for all.
        if member is None or member.current is None or (self.crew is not None and self.crew.leader is not member):
            self.poller.wakeup()  # raises here, if at all, where nothing has changed
            self.ready.append(thread)
            self.poller.wakeup()
        else:
            self.ready.append(thread)

    def take_ready(self) -> deque[Any]:
        ready, self.ready = self.ready, deque()  # of these one, if a signal handler appends in between
        return ready

    def interrupt(self, thread: Stepped, error: BaseException) -> None:
        """Raise `error` in `thread` at the wait it is in, or at its next one if that has finished."""
        with lock:
            if self.end_wait(thread, error):
                self.ready.append(thread)  # here: where that has not raised, this does not
                if local.member is None or local.member.current is None or self.crew is not None:
                    self.poller.wakeup()

    def end_wait(self, thread: Stepped, error: BaseException) -> bool:
        """End the wait that `thread` is in with `error`; False: that will be raised at its next one, if it has one."""
        with lock:
            if thread.done:
                return False
            if isinstance(error, Cancelled) and error.meant_for is not None:
                known = self.interrupted.get(thread, {})
                # A second cancel stands for both.
                kept = {one: raised for one, raised in known.items() if not _is_the_same(one, error)}
                self.interrupted[thread] = {**kept, error: 0}
            waiting = thread.waiting_on
            if not thread._errors and waiting is not None and waiting.cancel(error):
                self._raised(thread, error)
                return True
            thread._errors = [*(thread._errors or ()), error]
            return False

    def forgive(self, thread: Stepped, error: BaseException) -> None:
        """The scope that `error` was for is left: it is not to be raised any more."""
        with lock:
            if thread.done:
                return
            known = self.interrupted.get(thread)
            if known is not None:
                known.pop(error, None)  # type: ignore[call-overload]
                if not known:
                    del self.interrupted[thread]
            if thread._errors is not None:
                self._set_pending(thread, [pending for pending in thread._errors if pending is not error])

    def delivered(self, thread: Stepped) -> None:
        """The first of what was to be raised in `thread` will be, now."""
        assert thread._errors is not None
        self._raised(thread, thread._errors[0])
        self._set_pending(thread, thread._errors[1:])

    def _set_pending(self, thread: Stepped, errors: list[BaseException]) -> None:
        """None are pending: None, or an empty list while each wait is to look whether something got lost."""
        thread._errors = errors if errors or self._doubtful(thread) else None

    def _raised(self, thread: Stepped, error: BaseException) -> None:
        known = self.interrupted.get(thread)
        if known is not None and error in known:
            self.raised += 1
            known[error] = self.raised

    def renew(
        self, thread: Stepped, since: int, leaving: BaseException | None, replaceable: bool = False
    ) -> Cancelled | None:
        """`thread` leaves a scope, which it entered when `raised` was `since`, with the exception `leaving`, if any.

        What was raised inside that scope for an outer one, and is not on its way there any more, since an error of a
        cleanup has taken its place or somebody has caught it, is raised again at the next wait. What gets lost for the
        second time is returned instead if `leaving` is `replaceable`, or a loop could lose it for ever.
        """
        with lock:
            known = self.interrupted.get(thread)
            if known is None or leaving in known or thread.done:
                return None
            lost = [error for error, raised in known.items() if raised > since]
            again = next((error for error in lost if replaceable and hasattr(error, "_lost")), None)
            self._raise_again(thread, lost, again)
            return again

    def _raise_again(self, thread: Stepped, lost: list[Cancelled], but: Cancelled | None = None) -> None:
        for error in lost:
            error.__traceback__ = error.__context__ = None
            error._lost, error._doubts = True, []  # type: ignore[attr-defined]
        due = [error for error in lost if error is not but]
        if due:
            self.interrupted[thread].update(dict.fromkeys(due, 0))
            thread._errors = [*due, *(thread._errors or ())]
            self.poller.streak = STREAK_MAX

    def on_their_way(self, thread: Stepped) -> list[Cancelled]:
        """Of what was raised in `thread`, which runs, those that it is cleaning up after."""
        known = self.interrupted.get(thread, {})
        error = sys.exception() if known else None
        handled = with_contexts([error]) if error is not None else ()
        return [error for error, raised in known.items() if raised and _is_one_of(error, handled)]

    def doubt(self, thread: Stepped, errors: list[Cancelled], deadline: BaseException) -> Cancelled | None:
        """A deadline has ended the cleanup after these: its TimeoutError takes their place, unless it is caught there.

        Until that is known each wait looks whether they are still on their way. What gets lost for the second time is
        returned instead, as by renew().
        """
        with lock:
            known = self.interrupted.get(thread, {})
            errors = [error for error in errors if known.get(error)]
            again = next((error for error in errors if hasattr(error, "_lost")), None)
            if again is None and errors:
                for error in errors:
                    error._doubts = [*_doubts(error), weakref.ref(deadline)]  # type: ignore[attr-defined]
                thread._errors = thread._errors or []
                self.poller.streak = STREAK_MAX
            return again

    def _doubtful(self, thread: Stepped) -> list[Cancelled]:
        known = self.interrupted.get(thread, {})
        return [error for error, raised in known.items() if raised and _doubts(error)]

    def look_for_lost(self, thread: Stepped) -> None:
        """`thread` waits, and something is pending, or in doubt: what is not on its way any more is pending now."""
        doubtful = self._doubtful(thread)
        if doubtful:
            handled = handled_in(thread._coro)
            there = with_contexts(handled)
            for error in doubtful:
                error._doubts = [one for one in _doubts(error) if _is_one_of(one(), there)]  # type: ignore[attr-defined]
            self._raise_again(thread, [error for error in doubtful if not _is_one_of(error, handled)])
        if thread._errors is not None:
            self._set_pending(thread, thread._errors)

    def before_interruption(self, thread: Stepped) -> None:
        """`thread` is about to run, and something is to be raised in it: now, if its wait was given up for that."""
        pending = thread._errors
        if pending and getattr(thread.waiting_on, "error", None) is pending[0]:
            self.delivered(thread)
        if thread._errors is not None:
            # The outcome of its wait comes first, and its next operation yields before it attempts anything.
            self.poller.streak = STREAK_MAX

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

    def take_call(self) -> Callable[[], Any] | None:
        with lock:
            if not self.inbox:
                return None
            self._calls += 1
            return self.inbox.popleft()

    def call_made(self) -> None:
        with lock:
            self._calls -= 1

    def anything_to_wait_for(self) -> bool:
        if len(self.threads) > self.hopeless or self.ready or self.inbox:
            return True
        with lock:  # what another OS thread has begun to change is not to be read in the middle of that
            if len(self.threads) > self.hopeless or self.ready or self.inbox or self._calls:
                return True
            return self.timers.armed > 0  # a deadline, on what only another thread could end


def _doubts(error: Cancelled) -> list[weakref.ref[BaseException]]:
    """The deadlines that have met its cleanup, of which it is not known yet what became of their TimeoutErrors."""
    return getattr(error, "_doubts", [])


def _is_the_same(one: Cancelled, other: Cancelled) -> bool:
    return one.meant_for is other.meant_for and type(one) is type(other)


def _is_one_of(error: BaseException | None, errors: Iterable[BaseException]) -> bool:
    return any(one is error for one in errors)


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
