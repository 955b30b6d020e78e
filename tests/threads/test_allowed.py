"""What may be called from where: every cell of the table in `docs/os-threads.md`."""

from __future__ import annotations

import gc
import re
import signal
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import pytest

from pollers import operation
from socket2 import (
    Cancelled,
    Closed,
    Event,
    Lock,
    Operation,
    Queue,
    Semaphore,
    Thread,
    call_in_thread,
    currentthread,
    newthread,
    portal,
    resume,
    run,
    scope,
    sleep,
    start,
    stop,
    suspend,
    threadset,
)
from socket2.threads.member import current_member
from socket2.threads.scheduler import local

from ..interop.peers import ROOT, OSThread
from ..servers.test_server import until
from .allowed import BREAKING, CALLS, PLACES, rows

Steps = Generator[Any, Any, Any]
Act = Callable[[], Any]

THREAD, OTHER_LOOP, OS_THREAD, HANDLER, FINALIZER = PLACES


def test_the_guide_says_what_is_tested() -> None:
    lines = (ROOT / "docs" / "os-threads.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    first = table.index(list(rows()[0]))
    del table[first + 1]  # the line below the heading
    assert table[first : first + len(rows())] == [list(row) for row in rows()]
    assert set(TESTS) == set(CALLS)


# The places. Each calls `act`, and notes what it returned or raised.


class Outcome:
    """What a call has returned or raised, once it has been made."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.made = False
        self.result: Any = None
        self.error: str | None = None

    def __call__(self, *_: object) -> None:
        try:
            self.result = self._act()
        except Exception as error:
            self.error = type(error).__name__
        self.made = True


class Finalized:
    """Calls something when it is collected."""

    def __init__(self, call: Act) -> None:
        self._call = call
        self.myself = self  # only the collector frees it

    def __del__(self) -> None:
        self._call()


def in_another_loop(call: Act) -> None:
    newthread(call)
    start()
    current_member().close()


def outside(call: Act) -> None:
    """Call it. Close the scheduler that this may have made."""
    call()
    if local.scheduler is not None:
        current_member().close()


@pytest.fixture
def handled() -> Iterator[Callable[[Act], None]]:
    """Call it in a signal handler that interrupts a step."""
    before = signal.getsignal(signal.SIGTERM)

    def handle(call: Act) -> None:
        signal.signal(signal.SIGTERM, lambda signum, frame: call())
        signal.raise_signal(signal.SIGTERM)

    yield handle
    signal.signal(signal.SIGTERM, before)


class At:
    """One of the places."""

    def __init__(self, place: str, handle: Callable[[Act], None]) -> None:
        self.place = place
        self._handle = handle
        self._os_threads: list[OSThread[None]] = []

    def call(self, act: Act) -> Steps:
        """Call it there. Return the outcome."""
        outcome = Outcome(act)
        if self.place == THREAD:
            outcome()
        elif self.place == HANDLER:
            self._handle(outcome)
        elif self.place == FINALIZER:
            Finalized(outcome)
            gc.collect()
        else:
            os_thread = OSThread(in_another_loop if self.place == OTHER_LOOP else outside, outcome)
            os_thread.start()
            yield from until(lambda: not os_thread.is_alive())
            os_thread.outcome()
        assert outcome.made
        yield from ()
        return outcome

    def allows(self, cell: str, act: Act, happened: Callable[[], object]) -> Steps:
        """Call it there, and wait until it has happened, or see its error."""
        outcome: Outcome = yield from self.call(act)
        if cell in ("yes", "later"):
            assert outcome.error is None
            yield from until(lambda: bool(happened()))
        else:
            assert outcome.error == cell
            for _ in range(3):
                yield from sleep(0)
            assert not happened()
        return outcome.result


# The rows. Each is a function of a place and of what the table says.


def setting(at: At, cell: str) -> Steps:
    event, semaphore = Event(), Semaphore(0)
    waiting = [newthread(event.wait), newthread(semaphore.acquire)]
    yield from at.allows(cell, event.set, lambda: waiting[0].done)
    yield from at.allows(cell, semaphore.release, lambda: waiting[1].done)
    assert event.is_set()


def cancelling(at: At, cell: str) -> Steps:
    thread = newthread(suspend)
    assert (yield from at.allows(cell, thread.cancel, lambda: thread.done))
    assert isinstance(thread.error, Cancelled)
    with threadset() as group:
        thread = group.newthread(suspend)
        yield from at.allows(cell, group.cancel, lambda: thread.done)
        yield from group.join()


def ending_blocks(at: At, cell: str) -> Steps:
    by_cancel, by_deadline, by_shield = scope(), scope(), scope(shield=True)
    waiting = [newthread(suspended_in, block) for block in (by_cancel, by_deadline, by_shield)]
    yield from at.allows(cell, by_cancel.cancel, lambda: waiting[0].done)
    yield from at.allows(cell, partial(setattr, by_deadline, "deadline", 0), lambda: waiting[1].done)
    waiting[2].cancel()
    yield from at.allows(cell, partial(setattr, by_shield, "shield", False), lambda: waiting[2].done)
    assert (by_cancel.cut_short, by_deadline.cut_short, by_shield.cut_short) == (True, True, False)


def suspended_in(block: scope) -> Steps:
    with block:
        yield from suspend()


def resuming(at: At, cell: str) -> Steps:
    thread = newthread(suspend)
    yield from at.allows(cell, partial(resume, thread, "value"), lambda: thread.done)
    assert thread.result() == "value"
    if at.place in (THREAD, OTHER_LOOP, OS_THREAD):
        outcome = yield from at.call(partial(resume, thread))
        assert outcome.error == (None if cell == "later" else "RuntimeError")


def spawning(at: At, cell: str) -> Steps:
    called: list[int] = []
    with portal() as p, portal() as other:
        future = yield from at.allows(cell, partial(p.spawn, called.append, 1), lambda: called == [1])
        yield from until(future.done)
        yield from at.allows(cell, other.close, lambda: "closed" in repr(other))


def calling(at: At, cell: str) -> Steps:
    called: list[int] = []
    with portal() as p:
        yield from at.allows(cell, partial(p.call, called.append, 1), lambda: called)


def queueing(at: At, cell: str) -> Steps:
    queue: Queue[int] = Queue()
    getting, closing = newthread(queue.get), newthread(second_of, queue)
    yield from at.allows(cell, partial(queue.put_nowait, 1), lambda: getting.done)
    assert getting.result() == 1
    yield from at.allows(cell, queue.close, lambda: closing.done)
    assert isinstance(closing.error, Closed)
    full: Queue[int] = Queue(1)
    full.put_nowait(1)
    putting = newthread(full.put, 2)
    assert (yield from at.allows(cell, full.get_nowait, lambda: putting.done)) == 1


def second_of(queue: Queue[int]) -> Steps:
    try:
        yield from queue.get()
    except Closed:
        raise Closed from None


def releasing(at: At, cell: str) -> Steps:
    lock = Lock()
    block = yield from lock.acquire()
    if cell == "no":  # it would take the lock away from the thread that it interrupts
        outcome = yield from at.call(lock.release)
        assert outcome.error is None
        assert not lock.locked()
        return
    waiting = newthread(lock.acquire)
    yield from at.allows(cell, lock.release, lambda: waiting.done)
    if cell == "RuntimeError":
        with block:
            pass
        yield from until(lambda: waiting.done)


def stopping(at: At, cell: str) -> Steps:
    outcome = yield from at.call(stop)
    assert outcome.error is None
    assert current_member()._stopping == (cell == "yes")
    current_member()._stopping = False


def starting(at: At, cell: str) -> Steps:
    where: list[object] = []
    outcome = yield from at.call(lambda: newthread(lambda: where.append(local.scheduler)))
    assert outcome.error is None
    assert (where == [local.scheduler]) == (cell == "yes")
    assert len(where) == 1


def awaiting(make: Callable[[], Operation[Any]]) -> Callable[[At, str], Steps]:
    """Return the row of a call that is awaited in the loop of the OS thread that makes it."""

    def row(at: At, cell: str) -> Steps:
        if at.place == THREAD:
            assert cell == "yes"
            yield from make()
        elif at.place == OTHER_LOOP:
            assert cell == "its own"
            yield from in_its_own_loop(make)
        else:
            yield from refused(at, cell, make)

    return row


def in_its_own_loop(make: Callable[[], Operation[Any]], begun: Act = lambda: True, end: Act = bool) -> Steps:
    """Await the operation in the loop of another OS thread. Call `end` when it waits."""

    def other() -> Any:
        try:
            return run(make)
        finally:
            current_member().close()

    os_thread = OSThread(other)
    os_thread.start()
    yield from until(lambda: begun() or not os_thread.is_alive())
    end()
    yield from until(lambda: not os_thread.is_alive())
    return os_thread.outcome()


def refused(at: At, cell: str, make: Callable[[], Operation[Any]]) -> Steps:
    outcome = yield from at.call(make)
    if cell == "no":  # it makes an operation that nobody awaits there
        assert outcome.error is None
        assert hasattr(outcome.result, "__await__")
        outcome.result.close()
    else:
        assert outcome.error == cell


def sleeping(at: At, cell: str) -> Steps:
    yield from awaiting(lambda: sleep(0))(at, cell)
    if at.place in (THREAD, OTHER_LOOP):
        yield from awaiting(resumed_soon)(at, cell)
    else:
        yield from refused(at, cell, suspend)


@operation
def resumed_soon() -> Steps:
    me = currentthread()
    newthread(resumes, me)
    yield from suspend()


def resumes(thread: Thread[object]) -> Steps:
    yield from sleep(0)
    resume(thread)


def waiting(at: At, cell: str) -> Steps:
    event, queue, lock = Event(), Queue[int](), Lock()
    yield from lock.acquire()
    waits: list[tuple[Any, Act, Act]] = [
        (event, event.wait, event.set),
        (queue, queue.get, partial(queue.put_nowait, 1)),
        (lock, lock.acquire, lock.release),
    ]
    for what, make, end in waits:
        if cell == "no":
            yield from refused(at, cell, make)
        elif at.place == THREAD:
            thread = newthread(make)
            end()
            yield from thread.join()
        else:
            yield from in_its_own_loop(make, partial(is_waited_for, what), end)


def is_waited_for(what: object) -> bool:
    return re.search("1 (waiting|getting)", repr(what)) is not None


def joining(at: At, cell: str) -> Steps:
    thread = newthread(suspend)
    if at.place == THREAD:
        joiner = newthread(thread.join)
        resume(thread)
        yield from joiner.join()
        return
    if at.place == OTHER_LOOP:
        with pytest.raises(RuntimeError, match="another OS thread"):
            yield from in_its_own_loop(thread.join)
    else:
        yield from refused(at, cell, thread.join)
    resume(thread)
    yield from thread.join()


ROWS: tuple[Callable[[At, str], Steps], ...] = (
    setting,
    cancelling,
    ending_blocks,
    resuming,
    spawning,
    calling,
    queueing,
    releasing,
    stopping,
    starting,
    awaiting(lambda: call_in_thread(len, "abc")),
    sleeping,
    waiting,
    joining,
)
TESTS = dict(zip(CALLS, ROWS, strict=True))


def cells() -> list[tuple[str, str, str]]:
    """Return each cell with its call and its place, except for those of test_allowed_in_handlers.py."""
    found = [(call, place, cell) for call, row in CALLS.items() for place, cell in zip(PLACES, row, strict=True)]
    return [(call, place, cell) for call, place, cell in found if not (cell == "no" and call in BREAKING)]


@pytest.mark.parametrize(("call", "place", "cell"), cells())
def test_a_cell(call: str, place: str, cell: str, handled: Callable[[Act], None]) -> None:
    run(TESTS[call], At(place, handled), cell)
    start()
