"""What becomes of the threads that are left when the process exits: they are cancelled, and may clean up for a moment.

Python calls this in the main OS thread, after all OS threads that are no daemons have ended. The loops of other OS
threads are left alone, because daemons may still run them. A forked child has none of its parent's loops, so it does
nothing for those. Python 3.12 starts no OS thread any more when it calls this.
"""

from __future__ import annotations

import atexit
import gc
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pollers import Cancelled

from .joining import stop_all
from .lock import locked
from .member import Member, current_member
from .scheduler import Scheduler, local
from .thread import Thread

CLEANUP_S = 1.0
"""How long the cleanup of the threads may wait."""

LATE_S = 0.1
"""How long threads that a cleanup has started go on, after all threads that could wait for them have ended."""

# How often _drop_all() looks for threads, and _close() for waits. A thread that is dropped may start others, or get
# steps that end a group.
_DROPS_MAX = 10

# How often to check what other OS threads have done.
_CHECK_S = 0.005

afterwards: list[Callable[[], Any]] = []
"""Called at the exit when the threads have ended."""


def clean_up() -> None:
    """End the threads of this OS thread's loop, as at the exit of the process. Ctrl-C ends the wait for them."""
    try:
        with suppress(KeyboardInterrupt):
            try:
                with suppress(KeyboardInterrupt):
                    _with_member(_finish_all)
            finally:  # also if another signal handler has raised
                _with_member(_drop_all)
    finally:
        if local.scheduler is not None:
            local.scheduler.exiting = False
        for call in afterwards:
            call()


def _with_member(end: Callable[[Member], None]) -> None:
    """Call `end` if anything is left in the loop of this OS thread, and the loop can run."""
    scheduler, member = local.scheduler, local.member
    if scheduler is None or not _is_anything_left(scheduler):
        return
    if member is None or not (member.running or member.current is not None):
        end(current_member())


def _is_anything_left(scheduler: Scheduler) -> bool:
    """Whether there are threads, calls that start some, or OS threads that still serve the loop."""
    return bool(scheduler.threads or scheduler.inbox or scheduler.loops)


def _finish_all(member: Member) -> None:
    """Cancel all threads, and run the loop until they have ended, at most for CLEANUP_S. stop() has no effect."""
    scheduler = member.scheduler
    deadline = scheduler.now() + CLEANUP_S

    def finish() -> None:
        scheduler.mend_later()
        _cancel_until_all_have_ended(member, deadline)
        _let_others_leave(member, deadline)

    member._in_loop(finish)


def _cancel_until_all_have_ended(member: Member, deadline: float) -> None:
    """Cancel all threads, and then, when these have ended, those that a cleanup has started and not waited for."""
    scheduler = member.scheduler
    cancelled: set[Thread[object]] = set()
    due = scheduler.now()
    try:
        while (scheduler.threads or scheduler.inbox) and (now := scheduler.now()) < deadline:
            hopeless = not member._anything_to_wait_for()
            if hopeless or (now >= due and cancelled.isdisjoint(scheduler.threads)):
                if not _cancel_all(scheduler, cancelled) and hopeless:
                    return
                due = deadline
            elif due == deadline and cancelled.isdisjoint(scheduler.threads):
                due = min(now + LATE_S, deadline)
            _turn(member, due)
    finally:
        cancelled.clear()  # the traceback of an error has this frame: avoid a cycle


def _turn(member: Member, deadline: float) -> None:
    """Make a turn. It is short if other OS threads serve the loop, too: they do not tell this one what has ended."""
    scheduler = member.scheduler
    member._stopping = False
    try:
        member._turn(deadline if scheduler.crew is None else min(deadline, scheduler.now() + _CHECK_S))
    except SystemExit:  # the program exits anyway
        member._mend_after_error()


@locked  # so that no other OS thread runs one of them before all are cancelled
def _cancel_all(scheduler: Scheduler, cancelled: set[Thread[object]]) -> int:
    """Cancel all threads but the `cancelled` ones, and add them to these. Return how many there were.

    Members of a group are left to the thread that waits for them: a second cancellation would cut their cleanup short.
    What threads cancel themselves from now on is not cancelled again, either.
    """
    others = [thread for thread in scheduler.threads if thread not in cancelled]
    for thread in others:
        if not thread.done and not any(join.leads for join in thread.joins()):
            thread._cancel()
    cancelled.update(others)
    scheduler.exiting = True
    return len(others)


def _let_others_leave(member: Member, deadline: float) -> None:
    """Stop the loops of other OS threads that serve the same scheduler, and wait for their end, until `deadline`.

    Python ends those OS threads wherever they are, and a lock that one of them holds would stay locked.
    """
    scheduler = member.scheduler
    if scheduler.crew is None:
        return
    while scheduler.loops != [member] and scheduler.now() < deadline:
        stop_all(scheduler)
        _turn(member, deadline)


def _drop_all(member: Member) -> None:
    """End all threads without a wait, unless other OS threads still serve them, too."""
    scheduler = member.scheduler

    def drop_all() -> None:
        _let_others_leave(member, scheduler.now() + LATE_S)
        for _ in range(_DROPS_MAX):
            for thread in list(scheduler.threads) if scheduler.loops == [member] else ():
                _drop(member, thread)
        scheduler.ready = deque(thread for thread in scheduler.ready if not thread.done)
        member._escaping = None  # the program exits anyway

    member._in_loop(drop_all)


def _drop(member: Member, thread: Thread[object]) -> None:
    """Raise GeneratorExit in `thread`, as when it is garbage-collected, and end it."""
    if thread.done:
        return
    error: BaseException = Cancelled(f"{thread.name} was dropped")
    error.meant_for = thread  # type: ignore[attr-defined]
    member.current = thread
    try:
        thread._context.run(_close, thread._coro)
    except BaseException as raised:
        error = raised.with_traceback(raised.__traceback__ and raised.__traceback__.tb_next)
    finally:
        member.current = None
    try:
        member._end(thread, None, error)
    finally:
        del error, thread  # the error's traceback may have this frame: avoid a cycle


def _close(coro: Any) -> None:
    """Raise GeneratorExit at the wait of a coroutine, and at each further one that its cleanup reaches then."""
    close = getattr(coro, "close", lambda: None)
    for _ in range(_DROPS_MAX):
        try:
            close()
            return
        except RuntimeError as error:
            if "ignored GeneratorExit" not in str(error):
                raise
    _keep_for_ever(coro)


def _keep_for_ever(coro: Any) -> None:
    """Keep a coroutine that cannot be ended from being collected: its collection might never return."""
    gc.collect()
    kept: list[Any] = [coro]
    kept.append(kept)
    gc.freeze()  # the interpreter's end frees what modules refer to, but no cycle that is frozen


atexit.register(clean_up)
