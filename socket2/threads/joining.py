"""How OS threads join a scheduler, to serve it together.

Knows which OS thread may join, and what it gives up for that. Must not know how members share the work: that is in
crew.py. A loop that is already running must switch to several members between two steps, so joining may have to wait.
"""

from __future__ import annotations

import threading
from itertools import filterfalse

from .crew import Crew
from .ctrl_c import main_is_coming
from .lock import lock
from .member import Member, current_member
from .scheduler import Scheduler, find_scheduler, local
from .stepping import step_shared

# How often to check whether the loop ended before it admitted the new member.
_ENTRY_S = 0.05


def descriptor(poller_name: str) -> int:
    """Return the descriptor of this OS thread's poller. Raises OSError if that is not the poller `poller_name`."""
    poller = current_member().scheduler.poller
    if poller.name != poller_name:
        raise OSError(f"the poller of this OS thread is {poller.name!r}, not {poller_name!r}")
    return poller.fileno()


def join(poller_name: str, fd: int) -> int:
    """Make this OS thread a member of the scheduler whose poller has the descriptor `fd`, and return `fd`.

    Raises ValueError if there is no such scheduler; RuntimeError if this OS thread still uses its own,
    or if the loop of the other one shares its OS thread with another event loop.
    """
    scheduler = find_scheduler(poller_name, fd)
    if scheduler is None:
        raise ValueError(f"descriptor {fd} belongs to no {poller_name} poller of a scheduler in this process")
    if local.scheduler is not scheduler:
        _check_not_alone(scheduler)
        _leave_own()
        share(scheduler)
        local.scheduler, local.member = scheduler, Member(scheduler, guest=True)
    return fd


def _check_not_alone(scheduler: Scheduler) -> None:
    if any(member.alone for member in list(scheduler.loops)):
        raise RuntimeError("the loop of that OS thread shares it with another event loop: no OS thread can join it")


def _leave_own() -> None:
    """Shut down the scheduler that this OS thread had of its own. Raises RuntimeError if that is still in use."""
    own, member = local.scheduler, local.member
    if own is None:
        return
    if member is not None and (member.running or member.current is not None):
        raise RuntimeError("the loop of this OS thread is running: join before it starts or after it ends")
    if own.threads or own.poller.stats().attached:
        raise RuntimeError(
            f"this OS thread has {len(own.threads)} threads and {own.poller.stats().attached} sockets of its own: "
            "join before creating them, or first let the threads end (start()) and close the sockets"
        )
    own.loop_ended()
    if own.crew is None:
        own.poller.shutdown()
    local.scheduler = local.member = None


def share(scheduler: Scheduler) -> None:
    """Let several OS threads serve `scheduler`. If its loop runs, wait until it has switched between two steps."""
    begun = threading.Event()

    def begin() -> None:
        _begin(scheduler)
        begun.set()

    with scheduler.entry:
        if scheduler.crew is not None or not scheduler.loops:
            begin()
    if not begun.is_set():
        scheduler.post(begin)
    while not begun.wait(_ENTRY_S):
        with scheduler.entry:
            if not scheduler.loops:  # it ended before it made the posted call
                begin()


def _begin(scheduler: Scheduler) -> None:
    with lock:
        if scheduler.crew is not None:
            return
        scheduler.poller.share()
        crew = Crew(scheduler, step_shared)
        for member in scheduler.loops:
            crew.enter(member)
        scheduler.crew = crew  # done last: if a signal handler raises before this, share() begins again


class _MemberThread(threading.Thread):
    """An OS thread that serves a scheduler until nothing is left to wait for, or until it is stopped."""

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        # A daemon, because a member that blocks forever must not keep the interpreter alive.
        super().__init__(name=f"socket2 member {number}", daemon=True)
        self.member = Member(scheduler, guest=True)  # made here, so that it can be stopped before its loop begins
        self.error: BaseException | None = None

    def run(self) -> None:
        local.scheduler, local.member = self.member.scheduler, self.member
        try:
            self.member.start(None)
        except BaseException as error:
            if self.member.scheduler.crew is None:
                raise  # in a forked child, where serve() does not wait for this OS thread
            self.error = error
            stop_all(self.member.scheduler)


def stop_all(scheduler: Scheduler) -> None:
    """Stop the loop of every member. A member whose loop has not begun yet stops as soon as it begins."""
    with lock:
        members = list(scheduler.loops) if scheduler.crew is None else scheduler.crew.members + scheduler.crew.coming
    for member in members:
        member.stop()


def serve(count: int) -> bool:
    """Serve this OS thread's scheduler in `count` OS threads. See loop.serve_threads()."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"the number of OS threads must be an int, not {count!r}")
    if count < 1:
        raise ValueError(f"the number of OS threads must be at least 1, not {count}")
    member = current_member()
    if member.running or member.current is not None:
        raise RuntimeError("the loop of this OS thread is running: call this instead of start()")
    scheduler = member.scheduler
    share(scheduler)
    assert scheduler.crew is not None
    coming = scheduler.crew.coming
    others = [_MemberThread(scheduler, number) for number in range(2, count + 1)]
    members = [member, *(other.member for other in others)]
    try:
        with lock:
            coming += members
        with main_is_coming():
            for other in others:
                other.start()
            ended = member.start(None)
    finally:
        for other in others:
            other.member.stop()
        with lock:
            coming[:] = filterfalse(members.__contains__, coming)
        stop_all(scheduler)
    _raise_error_of(others)  # before waiting for them: one may be blocked forever
    for other in others:
        other.join()
    _raise_error_of(others)
    return ended


def _raise_error_of(others: list[_MemberThread]) -> None:
    for other in others:
        if other.error is not None:
            raise other.error
