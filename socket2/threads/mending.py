"""Repairs what is left incomplete if a signal handler raises in the middle of a change.

A handler may raise wherever the interpreter checks for signals, for example after a thread has been taken from one
queue and before it is put into another. To prevent that everywhere would slow down each turn. So the interrupted code
calls Scheduler.mend_later(). Before the loop waits again, mend() puts each thread that is ready, but in no queue, into
the ready queue. Must not know how a thread runs.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from .cancellation import Interruptible, Interruptions
from .crew import Crew, CrewMember
from .lock import lock


class Mended(Protocol):
    """What this module knows of a scheduler."""

    threads: dict[Any, None]
    ready: deque[Any]
    loops: list[CrewMember]
    crew: Crew | None
    interruptions: Interruptions

    def enqueue(self, thread: Any, /) -> None: ...


def mend(scheduler: Mended) -> None:
    """Put the threads that are ready and in no queue into the ready queue. Call it between two steps."""
    with lock:
        scheduled = scheduled_in(scheduler)
        for thread in list(scheduler.threads):
            _see_to(scheduler, thread, scheduled)


def scheduled_in(scheduler: Mended) -> set[Any]:
    """Return the threads that a member steps, or will step."""
    members = list(scheduler.loops)
    return {*scheduler.ready, *(member.taken for member in members), *(member.current for member in members)}


def _see_to(scheduler: Mended, thread: Any, scheduled: set[Any]) -> None:
    if thread.done:
        scheduler.threads.pop(thread, None)
    elif thread not in scheduled and _is_to_run(scheduler, thread):
        scheduler.enqueue(thread)


def _is_to_run(scheduler: Mended, thread: Interruptible) -> bool:
    waiting = thread.waiting_on
    if waiting is None:
        # It has not taken its first step. Or, if there is a crew, another member is just parking it.
        return scheduler.crew is None
    if getattr(waiting, "over", False):
        scheduler.interruptions.note_raised(thread)
        return True
    if thread._errors and waiting.cancel(thread._errors[0]):
        scheduler.interruptions.take_first(thread)
        return True
    return False
