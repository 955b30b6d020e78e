"""What becomes of the threads that are left when the process exits: they are cancelled, and may clean up for a moment.

Python calls this in the main OS thread, after all OS threads that are no daemons have ended. The loops of other OS
threads are left alone, because daemons may still run them. A forked child has none of its parent's loops, so it does
nothing for those. From Python 3.12 on, no new OS thread can be started here, so blocking calls are made in place.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from typing import Any

from pollers import Cancelled, operation

from .member import Member, current_member
from .mending import mend
from .scheduler import local, schedulers, warn_if_never_run
from .thread import Thread
from .wait import Pass

CLEANUP_S = 1.0
"""How long the cleanup of the threads may wait."""

# How often _drop_all() looks for threads. One that is dropped may start others, or get steps that end a group.
_DROPS_MAX = 10

afterwards: list[Callable[[], Any]] = []
"""Called at the exit when the threads have ended."""


def clean_up() -> None:
    """End the threads of this OS thread's loop, as at the exit of the process. Ctrl-C ends the wait for them."""
    for scheduler in schedulers():
        warn_if_never_run(scheduler)
    with suppress(KeyboardInterrupt):
        with suppress(KeyboardInterrupt):
            _with_member(_finish_all)
        _with_member(_drop_all)
    for call in afterwards:
        call()


def _with_member(end: Callable[[Member], None]) -> None:
    """Call `end` if the loop of this OS thread has threads, and can run."""
    scheduler, member = local.scheduler, local.member
    if scheduler is None or not scheduler.threads:
        return
    if member is None or not (member.running or member.current is not None):
        end(current_member())


def _finish_all(member: Member) -> None:
    """Cancel all threads, and run the loop until they have ended, at most for CLEANUP_S. stop() has no effect.

    Members of a group are left to the thread that waits for them: a second cancellation would cut their cleanup short.
    """
    scheduler = member.scheduler
    deadline = scheduler.now() + CLEANUP_S
    caller = scheduler.caller

    def finish() -> None:
        mend(scheduler)
        for thread in list(scheduler.threads):
            if not thread._has_leader():
                thread._cancel()
        while scheduler.threads and member._anything_to_wait_for() and scheduler.now() < deadline:
            member._stopping = False
            try:
                member._turn(deadline)
            except SystemExit:  # the program exits anyway
                member._mend_after_error()

    try:
        scheduler.caller = caller or _InPlace()
        member._in_loop(finish)
    finally:
        scheduler.caller = caller


class _InPlace:
    """Makes blocking calls in this OS thread."""

    @operation
    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Generator[Any, None, Any]:
        yield from Pass(purpose).wait()
        return func(*args)


def _drop_all(member: Member) -> None:
    """End all threads without a wait, unless other OS threads serve them, too."""
    scheduler = member.scheduler

    def drop_all() -> None:
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
        close = getattr(thread._coro, "close", None)
        if close is not None:
            thread._context.run(close)
    except BaseException as raised:
        error = raised.with_traceback(raised.__traceback__ and raised.__traceback__.tb_next)
    finally:
        member.current = None
    try:
        member._end(thread, None, error)
    finally:
        del error, thread  # the error's traceback may have this frame: avoid a cycle


atexit.register(clean_up)
