"""OS threads that join a scheduler, and serve it together.

Knows who may join, and what an OS thread leaves behind to do so. What the members do then is the crew's affair.
"""

from __future__ import annotations

import threading

from .crew import Crew
from .ctrl_c import main_is_coming
from .lock import lock
from .member import Member, current_member
from .scheduler import Scheduler, find_scheduler, local
from .stepping import step_shared

# How often to see whether the loop that is to let others in has ended instead.
_ENTRY_S = 0.05


def descriptor(poller_name: str) -> int:
    """Return the descriptor of this OS thread's poller, which has to be of that kind."""
    poller = current_member().scheduler.poller
    if poller.name != poller_name:
        raise OSError(f"the poller of this OS thread is {poller.name!r}, not {poller_name!r}")
    return poller.fileno()


def join(poller_name: str, fd: int) -> int:
    """Make this OS thread a member of the scheduler whose poller has the descriptor `fd`."""
    scheduler = find_scheduler(poller_name, fd)
    if scheduler is None:
        raise ValueError(f"descriptor {fd} belongs to no {poller_name} poller of a scheduler in this process")
    if local.scheduler is not scheduler:
        _leave_own()
        share(scheduler)
        local.scheduler, local.member = scheduler, Member(scheduler, guest=True)
    return fd


def _leave_own() -> None:
    """Give up the scheduler that this OS thread has had for itself. RuntimeError when somebody still needs it."""
    own, member = local.scheduler, local.member
    if own is None:
        return
    if member is not None and (member.running or member.current is not None):
        raise RuntimeError("this OS thread's loop is running: join from outside it")
    if own.threads or own.poller.stats().attached:
        raise RuntimeError(
            f"this OS thread has {len(own.threads)} threads and {own.poller.stats().attached} sockets of its own: "
            "join before they are made, or let the threads end (start()) and close the sockets first"
        )
    if own.crew is None:
        own.poller.shutdown()
    local.scheduler = local.member = None


def share(scheduler: Scheduler) -> None:
    """Let several OS threads serve `scheduler`. If its loop runs, it does that between two steps: wait for it."""
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
            if not scheduler.loops:  # it ended before it came to that
                begin()


def _begin(scheduler: Scheduler) -> None:
    with lock:
        if scheduler.crew is not None:
            return
        scheduler.poller.share()
        scheduler.crew = Crew(scheduler, step_shared)
        for member in scheduler.loops:
            scheduler.crew.enter(member)


class _Hand(threading.Thread):
    """An OS thread that serves a scheduler until there is nothing left to do, or it is told to stop."""

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        # A daemon: one that is blocked for ever must not keep the interpreter from its end.
        super().__init__(name=f"socket2 member {number}", daemon=True)
        self.member = Member(scheduler, guest=True)  # can be told to stop before its loop has begun
        self.error: BaseException | None = None

    def run(self) -> None:
        local.scheduler, local.member = self.member.scheduler, self.member
        try:
            self.member.start(None)
        except BaseException as error:
            if self.member.scheduler.crew is None:
                raise  # in the child of a fork, where nobody waits for this OS thread
            self.error = error
            stop_all(self.member.scheduler)


def stop_all(scheduler: Scheduler) -> None:
    """End the loop of every member, also of those that are just about to begin."""
    with lock:
        members = list(scheduler.loops) if scheduler.crew is None else scheduler.crew.members + scheduler.crew.coming
    for member in members:
        member.stop()


def serve(count: int) -> bool:
    """See loop.serve_threads()."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"a number of OS threads is needed, not {count!r}")
    if count < 1:
        raise ValueError(f"at least one OS thread has to serve, not {count}")
    member = current_member()
    if member.running or member.current is not None:
        raise RuntimeError("the loop of this OS thread is running: call this instead of start()")
    scheduler = member.scheduler
    share(scheduler)
    assert scheduler.crew is not None
    coming = scheduler.crew.coming
    hands = [_Hand(scheduler, number) for number in range(2, count + 1)]
    all_of_us = [member, *(hand.member for hand in hands)]
    with lock:
        coming += all_of_us
    try:
        with main_is_coming():
            for hand in hands:
                hand.start()
            ended = member.start(None)
    finally:
        for hand in hands:
            hand.member.stop()
        with lock:
            coming[:] = [one for one in coming if one not in all_of_us]
        stop_all(scheduler)
    _raise_error_of(hands)  # before the others are waited for: one may be blocked for ever
    for hand in hands:
        hand.join()
    _raise_error_of(hands)
    return ended


def _raise_error_of(hands: list[_Hand]) -> None:
    for hand in hands:
        if hand.error is not None:
            raise hand.error
