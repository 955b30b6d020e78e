"""What a signal handler has cost that has raised in the middle of a change: found out afterwards, and made good.

A handler may raise wherever the interpreter looks for signals, also between taking a thread from one place and putting
it into another. To prevent that everywhere would cost each turn. So whoever is broken off leaves a note
(Scheduler.doubt), and before the loop waits again the live threads are looked through: who is ready, and in no queue,
is put into it. Must not know how a thread runs.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from .cancellation import Interruptible, Interruptions
from .crew import Crew, CrewMember
from .lock import lock


class Mended(Protocol):
    """A scheduler, as far as its threads can be lost."""

    threads: dict[Any, None]
    ready: deque[Any]
    loops: list[CrewMember]
    crew: Crew | None
    interruptions: Interruptions

    def enqueue(self, thread: Any, /) -> None: ...


def mend(scheduler: Mended) -> None:
    """Put into the ready queue who should be there. Called between two steps."""
    with lock:
        seen_to = places(scheduler)
        for thread in list(scheduler.threads):
            _see_to(scheduler, thread, seen_to)


def places(scheduler: Mended) -> set[Any]:
    """The threads that a member is about to step, or steps."""
    members = list(scheduler.loops)
    return {*scheduler.ready, *(member.taken for member in members), *(member.current for member in members)}


def _see_to(scheduler: Mended, thread: Any, seen_to: set[Any]) -> None:
    if thread.done:
        scheduler.threads.pop(thread, None)
    elif thread not in seen_to and _is_to_run(scheduler, thread):
        scheduler.enqueue(thread)


def _is_to_run(scheduler: Mended, thread: Interruptible) -> bool:
    waiting = thread.waiting_on
    if waiting is None:
        # It has not begun. Or else another OS thread is just parking it, if there are several.
        return scheduler.crew is None
    if getattr(waiting, "over", False):
        scheduler.interruptions.note_raised(thread)
        return True
    if thread._errors and waiting.cancel(thread._errors[0]):
        scheduler.interruptions.take_first(thread)
        return True
    return False
