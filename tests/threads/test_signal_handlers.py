"""The functions that a signal handler may call work at any moment, even while a wait ends or a step runs.

A trace function calls the handler before each instruction of that code in turn.
"""

from __future__ import annotations

import dis
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Event,
    Semaphore,
    Thread,
    newthread,
    resume,
    run,
    scope,
    sleep,
    start,
    stop,
    suspend,
    threadset,
)
from socket2.threads import joining
from socket2.threads.native import in_c
from socket2.threads.scheduler import current_scheduler

from ..injection import Tracing
from ..sources import modules_in

Steps = Generator[Any, Any, Any]
Handler = Callable[[], Any]

MECHANISM = modules_in(
    "socket2/threads",
    "wait stepping scheduler thread sleeping events semaphores mutexes exchange queues member crew group deadline"
    " scope cancellation",
)


# They touch nothing but the frame. The names of modules count as such: no handler here binds them anew.
_LOADS = {"COPY", "COPY_FREE_VARS", "KW_NAMES", "LOAD_CLOSURE", "LOAD_GLOBAL", "PRECALL", "PUSH_NULL", "RESUME", "SWAP"}


@cache
def same_as_next(code: CodeType) -> set[int]:
    """Return the instructions before which a handler does what it does before the one that follows."""
    return {
        at.offset
        for at, following in pairwise(dis.get_instructions(code))
        if (at.opname in _LOADS or at.opname.startswith(("LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT")))
        and not following.is_jump_target
    }


# An instruction, and the number of the visit to it, from 1.
Place = tuple[CodeType, int, int]


class Injection(Tracing):
    """Calls `handler` before an instruction; with None it notes all instructions."""

    def __init__(self, at: Place | None, handler: Handler, files: set[str] = MECHANISM) -> None:
        self._at = at
        self._files = files
        self._handler = handler
        self._codes: dict[int, CodeType] = {}  # by id: it takes long to hash them
        self._times: Counter[tuple[int, int]] = Counter()

    def places(self) -> list[Place]:
        """Return the instructions to call it before: each one that matters, the first and the last time."""
        return [
            (self._codes[code], at, time)
            for (code, at), times in self._times.items()
            if at not in same_as_next(self._codes[code])
            for time in sorted({1, times})
        ]

    def _traces(self, code: CodeType) -> bool:
        return code.co_filename in self._files and (self._at is None or self._at[0] is code)

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            code, at = frame.f_code, frame.f_lasti
            self._codes[id(code)] = code
            self._times[id(code), at] += 1
            if self._at is not None and (at, self._times[id(code), at]) == self._at[1:]:
                sys.settrace(None)  # there is nothing left to do
                self._handler()
        return self._step


@pytest.fixture(params=[False, True], ids=["private", "shared"])
def shared(request: pytest.FixtureRequest) -> bool:
    """Whether other OS threads may serve, too."""
    if request.param:
        joining.share(current_scheduler())
    return bool(request.param)


def everywhere(scenario: Callable[[list[Handler]], None], stride: int, files: set[str] = MECHANISM) -> None:
    """Run `scenario` again and again, and call its handler before each instruction in turn, or before a sample of them.

    The scenario puts its handler into the list that it gets.
    """
    places = once(scenario, None, files).places()
    assert len(places) > 100
    for place in places[::stride]:
        once(scenario, place, files)


def once(scenario: Callable[[list[Handler]], None], at: Place | None, files: set[str]) -> Injection:
    handlers: list[Handler] = []
    with Injection(at, lambda: [handler() for handler in handlers], files) as injection:
        scenario(handlers)
    scheduler = current_scheduler()
    if scheduler.inbox:  # of a handler that came at the very end
        start(0)
    assert not scheduler.threads, f"before {at}"
    assert not scheduler.ready, f"before {at}"
    assert scheduler.hopeless == 0, f"before {at}"
    return injection


def resumed_again_and_again(handlers: list[Handler]) -> None:
    """Each suspend() ends once, the cancel comes once, and no other wait ends because of it."""
    gate = Event()
    outcomes: list[str] = []

    def sleeper() -> Steps:
        for _ in range(2):
            try:
                outcomes.append((yield from suspend()))
            except Cancelled:
                outcomes.append("cancelled")
            try:
                yield from gate.wait()
            except Cancelled:
                outcomes.append("cancelled late")
                yield from gate.wait()
            assert gate.is_set()

    def main() -> Steps:
        thread = newthread(sleeper)

        def handler() -> None:
            with suppress(RuntimeError):  # it was not suspended at that moment
                resume(thread, "handler")

        handlers.append(handler)
        yield from sleep(0)
        thread.cancel()
        for _ in range(3):
            yield from sleep(0)
        gate.set()
        while not thread.done:
            with suppress(RuntimeError):
                resume(thread, "main")
            yield from sleep(0)
        yield from thread.join()

    run(main)
    assert sum(outcome != "cancelled late" for outcome in outcomes) == 2
    assert sum(outcome.startswith("cancelled") for outcome in outcomes) == 1


def cancelled_by_a_handler(handlers: list[Handler]) -> None:
    """Each wait ends once and normally, except for at most one that the cancel ends."""
    event, gate = Event(), Event()
    outcomes: list[str] = []

    def waiter() -> Steps:
        for wait in (suspend, event.wait, lambda: sleep(0), lambda: threads[0].join(), gate.wait):
            try:
                yield from wait()
            except Cancelled:
                outcomes.append("cancelled")
                continue
            outcomes.append("ended")
        assert gate.is_set() or "cancelled" in outcomes

    threads: list[Thread[object]] = []

    def main() -> Steps:
        threads.append(newthread(suspend))
        thread = newthread(waiter)
        handlers.append(thread.cancel)
        yield from sleep(0)
        with suppress(RuntimeError):
            resume(thread)
        yield from sleep(0)
        event.set()
        yield from sleep(0)
        yield from sleep(0)
        resume(threads[0])
        for _ in range(3):
            yield from sleep(0)
        gate.set()
        yield from thread.join()

    run(main)
    assert len(outcomes) == 5
    assert outcomes.count("cancelled") <= 1


def ended_by_a_handler(handlers: list[Handler]) -> None:
    """A scope is cut short at most once, its shield holds back the cancel of the thread, and nothing is left."""
    outcomes: list[str] = []

    def worker() -> Steps:
        with inner:
            for _ in range(3):
                yield from sleep(0)
        outcomes.append("behind the block")
        yield from sleep(0)
        outcomes.append("too far")

    inner = scope(shield=True)

    def handler() -> None:
        inner.deadline = 0
        inner.cancel()
        inner.shield = False
        inner.shield = True

    def main() -> Steps:
        thread = newthread(worker)
        handlers.append(handler)
        thread.cancel()
        while not thread.done:
            yield from sleep(0)
        with suppress(Cancelled):
            yield from thread.join()

    run(main)
    assert outcomes in ([], ["behind the block"])
    assert current_scheduler().interruptions.known == {}
    assert current_scheduler().interruptions.scopes == {}


def set_by_a_handler(handlers: list[Handler]) -> None:
    """Each waiter is woken once, whether it is cancelled or not."""
    gate = Event()
    outcomes: list[str] = []

    def waiter(event: Event) -> Steps:
        try:
            yield from event.wait()
            outcomes.append("set")
        except Cancelled:
            outcomes.append("cancelled")
        yield from gate.wait()
        assert gate.is_set()

    def main() -> Steps:
        events = Event(), Event()
        waiters = [newthread(waiter, event) for event in (*events, events[0])]
        handlers.append(events[0].set)
        yield from sleep(0)
        waiters[0].cancel()
        events[1].set()
        yield from sleep(0)
        events[0].set()
        yield from sleep(0)
        gate.set()
        for thread in waiters:
            with suppress(Cancelled):
                yield from thread.join()

    run(main)
    assert len(outcomes) == 3


def released_by_a_finalizer(handlers: list[Handler]) -> None:
    """No permit is lost, and none is made."""
    semaphore = Semaphore(0)
    released: list[int] = []
    acquired: list[int] = []

    def acquirer() -> Steps:
        yield from semaphore.acquire()
        acquired.append(1)

    def release() -> None:
        semaphore.release()
        released.append(1)

    def main() -> Steps:
        threads = [newthread(acquirer) for _ in range(3)]
        handlers.append(release)
        yield from sleep(0)
        threads[0].cancel()
        release()
        yield from sleep(0)
        for thread in threads:
            yield from sleep(0)
            thread.cancel()
            with suppress(Cancelled):
                yield from thread.join()

    run(main)
    handlers.clear()
    if current_scheduler().inbox:
        start(0)
    assert semaphore._free == len(released) - len(acquired)


def stopped_by_a_handler(handlers: list[Handler]) -> None:
    """The loop ends at most once because of it, and continues when it is started again."""
    done: list[int] = []

    def worker(number: int) -> Steps:
        for _ in range(2):
            yield from sleep(0)
        with threadset() as ts:
            ts.newthread(sleep, 0)
            yield from ts.join()
        done.append(number)

    for number in range(2):
        newthread(worker, number)
    handlers.append(stop)
    for _ in range(3):
        start()
    handlers.clear()
    assert len(done) == 2


@pytest.mark.parametrize(
    "scenario",
    [
        resumed_again_and_again,
        cancelled_by_a_handler,
        ended_by_a_handler,
        set_by_a_handler,
        released_by_a_finalizer,
        stopped_by_a_handler,
    ],
)
def test_a_handler_before_each_instruction(shared: bool, scenario: Callable[[list[Handler]], None]) -> None:
    everywhere(scenario, 5 if shared or in_c("_stepping") else 1)
