"""Several OS threads serving one scheduler: who polls, who stands by, and who is woken when.

One member leads: it polls, and runs what that makes ready, as a member that is alone does. The others stand by, asleep
on a bell each, and cost nothing. One of them watches: when the leader has been in one step for a whole tick, it takes
the lead, and the next in line watches. So a step that blocks delays the others for a tick or two, and short steps are
not paid for with a wake-up of another OS thread each. Everything here is changed under the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pollers import Poller

from .lock import lock
from .timers import Timers

# How often the watcher looks whether the leader gets on. A blocking step delays others by one to two of them; each of
# them costs the leader an exchange of the GIL.
TICK_S = 0.002

# So many ticks in a row without work, and the watcher sleeps until there is some.
_QUIET_TICKS = 10

# So many ticks and the leader has not been through the ready queue once: there is work for two.
_BACKLOG_TICKS = 5

# The main OS thread's signal handlers run when it wakes. A signal that another one received does not wake it.
_MAIN_REST_S = 0.5


class Bell:
    """Wakes one OS thread. Rung while nobody sleeps, it ends the next sleep at once; twice is once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it has been rung

    def sleep(self, timeout_s: float | None) -> bool:
        """Sleep until it is rung; False after `timeout_s`."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Shared(Protocol):
    """What is served: a scheduler, as its crew knows it."""

    poller: Poller
    now: Callable[[], float]
    timers: Timers
    ready: deque[Any]

    def anything_to_wait_for(self) -> bool: ...


class Member(Protocol):
    """Who serves it: an OS thread with its loop."""

    bell: Bell
    allowance: int
    """Steps until it is to poll again, when it leads."""
    steps: int
    current: Any
    running: bool

    def stop(self) -> None: ...
    def is_between_steps(self) -> bool: ...
    def waits_for(self, thread: Any, /) -> bool: ...
    def has_reason_to_leave(self) -> bool: ...
    def wait_s(self, deadline: float | None, /) -> float | None: ...
    def make_posted_calls(self) -> bool: ...


class Crew:
    """The members of one scheduler whose loops run."""

    def __init__(self, scheduler: Shared, step: Callable[[Any, Any], None]) -> None:
        self._scheduler = scheduler
        self._step = step  # has a member step a thread
        self._standby: list[Member] = []  # the last to come is the first to be called
        self._watcher: Member | None = None
        self._watcher_sleeps = False
        self._polling = False  # the leader is waiting for events
        self._polls = 0
        self._happenings = 0
        self.members: list[Member] = []
        self.coming: list[Member] = []  # are to serve, and their loops do not run yet
        self.leader: Member | None = None
        scheduler.timers.sooner = self._timer_is_sooner

    # Coming and going.

    def enter(self, member: Member) -> None:
        with lock:
            self.members.append(member)
            if member in self.coming:
                self.coming.remove(member)

    def leave(self, member: Member) -> None:
        """`member`'s loop has ended. What it leads is handed on; when there is nothing left the others end, too."""
        with lock:
            if member in self.members:  # not, if it could not quite enter
                self.members.remove(member)
            if self.leader is member:
                self.leader = None
                self._polling = False
            if self.leader is None:
                self._call_one()
            self.look()

    def look(self) -> None:
        """One who does not stay to run them has left threads behind, or nothing at all: have that seen."""
        with lock:
            if not self._scheduler.anything_to_wait_for():
                self.wake_all()
            elif self._scheduler.ready:
                self._scheduler.poller.wakeup()

    def wake(self, member: Member) -> None:
        """Have `member` look afresh at what it is there for. Signal handlers come here: so it takes no lock."""
        member.bell.ring()
        if self.leader is member:  # else, if it is about to lead, it looks once more when it does
            self._scheduler.poller.wakeup()

    def wake_all(self) -> None:
        with lock:
            for member in self.members:
                self.wake(member)

    def ended(self, thread: object) -> None:
        """`thread` has come to its end; somebody's run() may wait for that."""
        with lock:
            for member in self.members:
                if member.waits_for(thread):
                    self.wake(member)

    def _call_one(self) -> None:
        """One of those who stand by is to lead, or to watch."""
        if self._watcher is not None:
            self._watcher.bell.ring()
        elif self._standby:
            self._standby[-1].bell.ring()

    def _timer_is_sooner(self) -> None:
        """Somebody has armed a timer before whose time the leader would not wake."""
        if self._polling:
            self._scheduler.poller.wakeup()

    # What a member does.

    def turn(self, member: Member, deadline: float | None) -> bool:
        """Run what is ready; or lead, and wait for events; or stand by. Return whether anything happened."""
        leads = self._leads(member)
        if (not leads or member.allowance > 0) and self._run_ready(member):
            return True
        if leads:
            return self._lead(member, deadline)
        return self._stand_by(member, deadline)

    def _run_ready(self, member: Member) -> bool:
        """Run a ready thread, or as long as `member` leads, what its poll has made ready. False: there is none."""
        ready = self._scheduler.ready
        ran = False
        while not ran or (member.allowance > 0 and self.leader is member):
            try:
                thread = ready.popleft()
            except IndexError:
                break
            member.allowance -= 1
            member.steps += 1
            self._scheduler.poller.streak = 0
            self._step(member, thread)
            del thread  # else there would be a cycle: an error has this frame behind its own
            ran = True
        return ran

    def _leads(self, member: Member) -> bool:
        if self.leader is None:
            with lock:
                if self.leader is None:
                    self.leader = member
        return self.leader is member

    def _lead(self, member: Member, deadline: float | None) -> bool:
        """Wait for events, timers and calls. What they make ready is for every member to take."""
        scheduler = self._scheduler
        with lock:
            if self.leader is not member:  # between its last step and here, the watcher has taken over
                return False
            # Up before the queues are looked at: whoever adds to them later sees it, and wakes the poller.
            self._polling = True
            # It may have become leader after it was told to leave: by its bell, which does not end this wait.
            wait_s = 0 if member.has_reason_to_leave() else member.wait_s(deadline)
        waiters = []
        try:
            waiters = scheduler.poller.poll(wait_s)
        finally:
            with lock:
                self._polling = False
                self._polls += 1
                scheduler.ready.extend(waiters)
                if self._watcher_sleeps and self._watcher is not None:
                    self._watcher.bell.ring()
        fired = bool(scheduler.timers.heap) and scheduler.timers.fire() > 0
        called = member.make_posted_calls()
        member.allowance = len(scheduler.ready)
        happened = bool(waiters) or fired or called
        self._happenings += happened or member.allowance > 0
        return happened

    def _stand_by(self, member: Member, deadline: float | None) -> bool:
        """Sleep until this member is wanted, or `deadline` is over. Return whether others got on meanwhile."""
        happenings = self._happenings
        with lock:
            self._standby.append(member)
        try:
            while not self._is_wanted(member) and (deadline is None or self._scheduler.now() < deadline):
                if self._watches(member):
                    if self._watch(member, deadline):
                        break
                else:
                    member.bell.sleep(self._rest_s(deadline))
        finally:
            with lock:
                self._standby.remove(member)
                if self._watcher is member:
                    self._watcher = None
                if self._watcher is None:  # or it was this one that had been called to watch
                    self._call_one()
        return self._happenings != happenings

    def _is_wanted(self, member: Member) -> bool:
        return self.leader is None or member.has_reason_to_leave()

    def _watches(self, member: Member) -> bool:
        with lock:
            if self._watcher is None:
                self._watcher = member
            return self._watcher is member

    def _watch(self, member: Member, deadline: float | None) -> bool:
        """Look at the leader until there is something for `member` to do, or it was rung for; True: it is to work."""
        quiet = backlog = 0
        while deadline is None or self._scheduler.now() < deadline:
            leader, polls = self.leader, self._polls
            steps = leader.steps if leader is not None else 0
            awake = quiet < _QUIET_TICKS
            rung = member.bell.sleep(TICK_S) if awake else self._sleep_deeply(member, polls, deadline)
            if rung and self._is_wanted(member):
                return False
            if self._polls != polls:
                quiet = backlog = 0
            elif self._polling:
                quiet += 1
            elif self._take_over(member, leader, polls, steps):
                return True
            else:
                quiet, backlog = 0, backlog + 1
                if backlog >= _BACKLOG_TICKS and self._scheduler.ready:
                    return True
        return False

    def _take_over(self, member: Member, leader: Member | None, polls: int, steps: int) -> bool:
        """Lead from now on if `leader` is where it was a tick ago: in the middle of a step."""
        with lock:
            stuck = leader is not None and self.leader is leader and leader.steps == steps
            if not stuck or self._polling or self._polls != polls:
                return False
            self.leader = member
            return True

    def _sleep_deeply(self, member: Member, polls: int, deadline: float | None) -> bool:
        """Sleep until the leader has something to do."""
        with lock:
            if not self._polling or self._polls != polls:
                return False
            self._watcher_sleeps = True
        try:
            return member.bell.sleep(self._rest_s(deadline))
        finally:
            self._watcher_sleeps = False

    def _rest_s(self, deadline: float | None) -> float | None:
        rest_s = None if deadline is None else deadline - self._scheduler.now()
        if threading.current_thread() is threading.main_thread():
            return _MAIN_REST_S if rest_s is None else min(rest_s, _MAIN_REST_S)
        return rest_s
