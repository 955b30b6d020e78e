"""How several OS threads serve one scheduler: which one polls, which ones stand by, and which one is woken when.

One member leads: it polls, and runs the threads that become ready, like a member that is alone. The others stand by:
each sleeps on a bell of its own. One of these is the watcher. If it finds the leader in the same step as a tick ago, it
takes the lead, and the next member in line watches. So a step that blocks delays other threads by one to two ticks, if
it releases the GIL and a member stands by. A short step wakes no other OS thread.

Knows the scheduler and its members by protocols only. Everything here is changed under the lock.
"""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pollers import Poller

from .lock import lock
from .timers import Timers

# How often the watcher checks on the leader. A step that begins just after one check looks new at the second check, and
# is recognised at the third: so it delays other threads by one to two ticks. Each tick costs the leader one exchange of
# the GIL.
TICK_S = 0.002

# After this many ticks in which the leader only waits for events, the watcher sleeps until events arrive.
_QUIET_TICKS = 10

# After this many ticks in which the leader runs threads and does not poll, the watcher runs ready threads, too.
_BUSY_TICKS = 5

# Python runs signal handlers in the main OS thread. A signal that another OS thread received does not wake it, so it
# sleeps at most this long.
_MAIN_REST_S = 0.5


class Bell:
    """Wakes one OS thread. If that does not sleep, its next sleep ends at once. Ringing twice is the same as once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is already rung

    def sleep(self, timeout_s: float | None) -> bool:
        """Sleep until the bell is rung. Return False if that does not happen within `timeout_s`; None: no limit."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class CrewScheduler(Protocol):
    """What a crew knows of its scheduler."""

    poller: Poller
    now: Callable[[], float]
    timers: Timers
    ready: deque[Any]

    def anything_to_wait_for(self) -> bool: ...


class CrewMember(Protocol):
    """What a crew knows of a member, which is the loop of one OS thread (member.py)."""

    bell: Bell
    allowance: int
    """How many steps it makes before it polls again, while it leads."""
    steps: int
    """How many steps it has made."""
    scheduler: Any
    current: Any
    taken: Any
    """The thread that it took from the ready queue, until the thread's step begins."""
    running: bool
    alone: int

    def stop(self) -> None: ...
    def is_between_steps(self) -> bool: ...
    def waits_for(self, thread: Any, /) -> bool: ...
    def has_reason_to_leave(self) -> bool: ...
    def wait_s(self, deadline: float | None, /) -> float | None: ...
    def make_posted_calls(self) -> None: ...


class Crew:
    """The members of one scheduler whose loops run, and the role of each."""

    def __init__(self, scheduler: CrewScheduler, step: Callable[[Any, Any], None]) -> None:
        self._scheduler = scheduler
        self._step = step  # step(member, thread) runs one step of a thread
        self._standby: list[CrewMember] = []  # the last one is the first to be called
        self._watcher: CrewMember | None = None
        self._watcher_sleeps = False
        self._polling = False  # the leader is waiting for events
        self._polls = 0  # how many polls have ended
        self._happenings = 0  # how many of them made something happen
        self.members: list[CrewMember] = []
        self.coming: list[CrewMember] = []  # serve_threads() has made them; their loops do not run yet
        self.leader: CrewMember | None = None
        scheduler.timers.sooner = self._timer_is_sooner

    # Coming and going.

    def enter(self, member: CrewMember) -> None:
        with lock:
            self.members.append(member)
            if member in self.coming:
                self.coming.remove(member)

    def leave(self, member: CrewMember) -> None:
        """Remove `member`, whose loop has ended. If it led or watched, another member is called to do so."""
        with lock:
            if member in self.members:  # it is not if enter() was interrupted
                self.members.remove(member)
            self.step_back(member)
            self.recheck()

    def step_back(self, member: CrewMember) -> None:
        """Take all roles from `member`, and call another one, because a signal handler may have raised at any point."""
        with lock:
            self._stand_down(member)
            if self.leader is member:
                self.leader = None
                self._polling = False
            if self.leader is None:
                self._call_one()

    def recheck(self) -> None:
        """Wake the leader if threads are ready. If nothing is left to wait for, wake all members, so that they leave.

        An OS thread calls this if it has changed what there is to do, and will not do it itself.
        """
        with lock:
            if not self._scheduler.anything_to_wait_for():
                self.wake_all()
            elif self._scheduler.ready:
                self._scheduler.poller.wakeup()

    def wake(self, member: CrewMember) -> None:
        """Make `member` check again what it has to do. It takes no lock, because signal handlers call it."""
        member.bell.ring()
        if self.leader is member:  # a member that is about to lead checks once more when it does
            self._scheduler.poller.wakeup()

    def wake_all(self) -> None:
        with lock:
            for member in self.members:
                self.wake(member)

    def ended(self, thread: object) -> None:
        """Wake the members whose run() waits for the end of `thread`, which has ended."""
        with lock:
            waiting = list(filter(operator.methodcaller("waits_for", thread), self.members))
            for member in waiting:
                self.wake(member)

    def _stand_down(self, member: CrewMember) -> None:
        if member in self._standby:
            self._standby.remove(member)
        if self._watcher is member:
            self._watcher = None

    def _call_one(self) -> None:
        """Wake the watcher, or else the last member in the line, to lead or to watch."""
        if self._watcher is not None:
            self._watcher.bell.ring()
        elif self._standby:
            self._standby[-1].bell.ring()

    def _timer_is_sooner(self) -> None:
        """Wake the leader: a timer is now due before the time at which the leader would wake."""
        if self._polling:
            self._scheduler.poller.wakeup()

    # What a member does.

    def turn(self, member: CrewMember, deadline: float | None) -> bool:
        """Run ready threads, or lead and wait for events, or stand by. Return whether anything happened."""
        leads = self._leads(member)
        if (not leads or member.allowance > 0) and self._run_ready(member):
            return True
        if leads:
            return self._lead(member, deadline)
        return self._stand_by(member, deadline)

    def _run_ready(self, member: CrewMember) -> bool:
        """Run one ready thread or, if `member` leads, as many as its poll made ready. Return False if there is none."""
        ready = self._scheduler.ready
        ran = False
        try:
            while not ran or (member.allowance > 0 and self.leader is member):
                try:
                    # There is no call between these lines, so no signal handler and no other OS thread runs there.
                    thread = member.taken = ready[0]
                    del ready[0]
                except IndexError:
                    break
                member.allowance -= 1
                member.steps += 1
                self._scheduler.poller.streak = 0
                self._step(member, thread)
                del thread  # an error's traceback has this frame: avoid a cycle
                ran = True
        except BaseException:
            self._put_back(member)
            raise
        return ran

    def _put_back(self, member: CrewMember) -> None:
        """Put the thread back whose step has not begun, after a signal handler raised."""
        with lock:
            thread, member.taken = member.taken, None
            if thread is not None:
                self._scheduler.ready.appendleft(thread)

    def _leads(self, member: CrewMember) -> bool:
        if self.leader is None:
            with lock:
                if self.leader is None:
                    self.leader = member
        return self.leader is member

    def _lead(self, member: CrewMember, deadline: float | None) -> bool:
        """Wait for events, then fire timers and make posted calls. Any member may take what they make ready."""
        scheduler = self._scheduler
        with lock:
            if self.leader is not member:  # the watcher has taken over since the last step
                return False
            # Set before the queues are checked: code that adds to them later sees it, and wakes the poller.
            self._polling = True
            # The member may have been told to leave before it became the leader. Its bell does not end this wait.
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
        member.make_posted_calls()
        member.allowance = len(scheduler.ready)
        happened = bool(waiters) or fired or member.allowance > 0
        self._happenings += happened
        return happened

    def _stand_by(self, member: CrewMember, deadline: float | None) -> bool:
        """Sleep or watch until `member` has work, or until `deadline`. Return whether anything happened meanwhile."""
        happenings = self._happenings
        try:
            with lock:
                self._standby.append(member)
            while True:  # see lock.py
                if self._is_wanted(member) or (deadline is not None and self._scheduler.now() >= deadline):
                    break
                if not self._watches(member):
                    member.bell.sleep(self._rest_s(deadline))
                    continue
                if not self._watch(member, deadline):
                    continue
                break
        finally:
            with lock:
                self._stand_down(member)
                if self._watcher is None:  # perhaps this member had been called to watch
                    self._call_one()
        return self._happenings != happenings

    def _is_wanted(self, member: CrewMember) -> bool:
        """Whether `member` is to lead, or to return to its loop."""
        return self.leader is None or member.has_reason_to_leave()

    def _watches(self, member: CrewMember) -> bool:
        """Whether `member` is the watcher. It becomes the watcher if there is none."""
        with lock:
            if self._watcher is None:
                self._watcher = member
            return self._watcher is member

    def _watch(self, member: CrewMember, deadline: float | None) -> bool:
        """Check on the leader once per tick. Return True if `member` is to work, False if it is called or out of time.

        If the leader has polled since the last check, all is well. If it is waiting for events, the watcher soon sleeps
        until there are some. If it is still in the same step, `member` takes the lead. If it runs other steps for too
        many ticks, `member` helps with the ready queue.
        """
        quiet_ticks = busy_ticks = 0
        while deadline is None or self._scheduler.now() < deadline:
            leader, polls = self.leader, self._polls
            steps = leader.steps if leader is not None else 0
            awake = quiet_ticks < _QUIET_TICKS
            rung = member.bell.sleep(TICK_S) if awake else self._sleep_deeply(member, polls, deadline)
            if rung and self._is_wanted(member):
                return False
            if self._polls != polls:
                quiet_ticks = busy_ticks = 0
            elif self._polling:
                quiet_ticks += 1
            elif self._take_over(member, leader, polls, steps):
                return True
            else:
                quiet_ticks, busy_ticks = 0, busy_ticks + 1
                if busy_ticks >= _BUSY_TICKS and self._scheduler.ready:
                    return True
        return False

    def _take_over(self, member: CrewMember, leader: CrewMember | None, polls: int, steps: int) -> bool:
        """Make `member` the leader if `leader` is still in the same step as one tick ago."""
        with lock:
            stuck = leader is not None and self.leader is leader and leader.steps == steps
            if not stuck or self._polling or self._polls != polls:
                return False
            self.leader = member
            return True

    def _sleep_deeply(self, member: CrewMember, polls: int, deadline: float | None) -> bool:
        """Sleep until the leader's poll ends, or this member is called. Return whether the bell was rung."""
        with lock:
            if not self._polling or self._polls != polls:
                return False
            self._watcher_sleeps = True
        try:
            return member.bell.sleep(self._rest_s(deadline))
        finally:
            self._watcher_sleeps = False

    def _rest_s(self, deadline: float | None) -> float | None:
        """Return how long a member may sleep; None: without limit."""
        rest_s = None if deadline is None else deadline - self._scheduler.now()
        if threading.current_thread() is threading.main_thread():
            return _MAIN_REST_S if rest_s is None else min(rest_s, _MAIN_REST_S)
        return rest_s
