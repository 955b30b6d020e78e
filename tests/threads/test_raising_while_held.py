"""A signal handler that raises anywhere in locks, conditions, limiters, queues, channels: all threads can be ended.

As test_raising_among_threads.py. A lock or permit whose holder was interrupted as it gave it back may be lost. One that
was just taken is not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pollers import Poller
from socket2 import (
    Cancelled,
    CapacityLimiter,
    Closed,
    Condition,
    PriorityQueue,
    RLock,
    Semaphore,
    Thread,
    channel,
    newthread,
    sleep,
    start,
)
from socket2.threads import joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, local

from ..contract import kinds
from ..injection import BOTH, PlacedInjection, at_each_place
from ..interop.peers import LIMIT_S
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

NAMES = "line events semaphores mutexes capacity condition exchange sorting queues memory_channel unbroken wait"

# A handler that raises where one of these begins keeps it from giving anything back.
GIVE_BACK = (
    "CapacityLimiter._end_block",
    "CapacityLimiter._give_back",
    "CapacityLimiter.release",
    "Held.__exit__",
    "Permits._put_back",
    "Semaphore._end_block",
    "Semaphore.release",
)


class Company:
    def __init__(self) -> None:
        self.threads: list[Thread[Any]] = []
        self.rlock = RLock()
        self.condition = Condition()
        self.shared = Condition(self.rlock)
        self.limiter = CapacityLimiter(1)
        self.semaphore = Semaphore(1)
        self.priorities: PriorityQueue[int] = PriorityQueue(1)
        self.sender, self.receiver = channel[int]()
        makes = (self.wait, self.wait, self.wait_in_time, self.deep, self.deep, self.borrow, self.borrow, self.acquire)
        for make in (*makes, self.put, self.put, self.get, self.get, self.send, self.send, self.receive, self.receive):
            self.start(make)
        self.start(self.act)

    def start(self, what: Callable[[], Steps]) -> Thread[Any]:
        self.threads.append(newthread(what))
        return self.threads[-1]

    def wait(self) -> Steps:
        with (yield from self.condition.acquire()):
            yield from self.condition.wait()

    def wait_in_time(self) -> Steps:
        with suppress(TimeoutError):
            with (yield from self.shared.acquire()):
                yield from self.shared.wait(0)

    def deep(self) -> Steps:
        with (yield from self.rlock.acquire()), (yield from self.rlock.acquire()):
            yield from sleep(0)
            yield from self.shared.wait()

    def borrow(self) -> Steps:
        with (yield from self.limiter.acquire()):
            yield from sleep(0)

    def acquire(self) -> Steps:
        with (yield from self.semaphore.acquire()), CapacityLimiter(1).acquire_nowait():
            yield from sleep(0)

    def put(self) -> Steps:
        for item in (2, 1):
            yield from self.priorities.put(item)

    def get(self) -> Steps:
        for _ in range(2):
            yield from self.priorities.get()

    def send(self) -> Steps:
        with suppress(Closed), self.sender.clone() as sender:
            yield from sender.send(1)
            yield from sender.send(2)

    def receive(self) -> Steps:
        with suppress(Closed), self.receiver.clone() as receiver:
            while True:
                yield from receiver.receive()

    def act(self) -> Steps:
        yield from sleep(0)
        self.threads[1].cancel()
        with (yield from self.condition.acquire()):
            self.condition.notify()
        yield from sleep(0)
        with (yield from self.shared.acquire()):
            self.shared.notify_all()
        self.limiter.total = 2
        yield from sleep(0)
        self.sender.close()
        self.receiver.close()

    def act_from_outside(self) -> None:
        """End all waits that a cancellation does not cut short, and those that a cancellation would end."""
        for lock in (self.rlock, self.condition._lock):
            if lock.locked():
                lock._put_back()
        self.priorities.close()
        self.sender.close()
        self.receiver.close()


def attempt(make: Callable[[], Poller], shared: bool, injection: PlacedInjection) -> None:
    local.scheduler = scheduler = Scheduler(make())
    local.member = None
    if shared:
        joining.share(scheduler)
    company = Company()
    with suppress(injection.error), injection:
        start(0.01)
    where = injection.where
    assert not is_held(), where
    for _ in range(3):
        with suppress(injection.error):
            start(0.01 if where else LIMIT_S)
    if not where:
        assert all(thread.done for thread in company.threads), company.threads
    for _ in range(3):
        for thread in company.threads:
            thread.cancel()
        company.act_from_outside()
        with suppress(injection.error, RuntimeError):
            start(LIMIT_S)
    assert all(thread.done for thread in company.threads), (where, company.threads)
    exchange: Any = company.priorities._exchange
    left = (company.semaphore._free, company.limiter.borrowed, exchange._reserved)
    assert left == (1, 0, {}) or where.split(",")[0] in GIVE_BACK, (where, left)
    errors = [thread.error for thread in company.threads if thread.error is not None]
    expected = (injection.error, Cancelled, Closed, RuntimeError)
    assert all(isinstance(error, expected) for error in errors), (where, errors)
    assert sum(isinstance(error, injection.error) for error in errors) <= 3, (where, errors)
    assert (scheduler.hopeless, scheduler.threads, list(scheduler.ready)) == (0, {}, []), where
    assert (scheduler.timers.armed, scheduler.interruptions.known) == (0, {}), where
    current_member().close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize(
    "kind", [name for name, manner in kinds.names() if manner == "shared" and name in "native epoll"]
)
def test_whoever_is_left_can_be_ended(kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: None)
    files = modules_in("socket2/threads", NAMES)
    assert at_each_place(partial(attempt, partial(kinds.make, kind), shared), files, *BOTH, begins=True) > 100
