"""A thread whose waits are all over at once: others still run, and deadlines and cancels reach it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    CapacityLimiter,
    Condition,
    Event,
    Lock,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
    Thread,
    channel,
    newthread,
    run,
    sleep,
    threadset,
    timeout,
)

Steps = Generator[Any, Any, Any]

# Far more rounds than can run in a row: if nothing interrupts them, the test fails instead of hanging.
MANY = 10_000_000


def put_and_get() -> Callable[[], Steps]:
    queue: Queue[int] = Queue()

    def once() -> Steps:
        yield from queue.put(1)
        yield from queue.get()

    return once


def put_and_get_in_time() -> Callable[[], Steps]:
    queue: Queue[int] = Queue(1)

    def once() -> Steps:
        yield from queue.put(1, timeout_s=100)
        yield from queue.get(timeout_s=100)

    return once


def wait_for_event() -> Callable[[], Steps]:
    event = Event()
    event.set()
    return lambda: iter(event.wait())


def hold_lock() -> Callable[[], Steps]:
    lock = Lock()

    def once() -> Steps:
        with (yield from lock.acquire()):
            pass

    return once


def hold_semaphore() -> Callable[[], Steps]:
    semaphore = Semaphore(1)

    def once() -> Steps:
        yield from semaphore.acquire(timeout_s=100)
        semaphore.release()

    return once


def hold_rlock_twice() -> Callable[[], Steps]:
    lock = RLock()

    def once() -> Steps:
        with (yield from lock.acquire()), (yield from lock.acquire()):
            pass

    return once


def borrow() -> Callable[[], Steps]:
    limiter = CapacityLimiter(1)

    def once() -> Steps:
        with (yield from limiter.acquire()):
            pass

    return once


def put_and_get_the_smallest() -> Callable[[], Steps]:
    queue: Queue[int] = PriorityQueue()

    def once() -> Steps:
        yield from queue.put(1)
        yield from queue.get()

    return once


def send_and_receive() -> Callable[[], Steps]:
    sender, receiver = channel[int](1)

    def once() -> Steps:
        yield from sender.send(1)
        yield from receiver.receive()

    return once


def wait_for_what_is_true() -> Callable[[], Steps]:
    condition = Condition()

    def once() -> Steps:
        with (yield from condition.acquire()):
            yield from condition.wait_for(lambda: True)

    return once


def join_ended() -> Callable[[], Steps]:
    thread = newthread(lambda: None)
    return lambda: iter(thread.join())


def empty_threadset() -> Callable[[], Steps]:
    async def once() -> None:
        async with threadset():
            pass

    return lambda: once().__await__()


def join_empty_threadset() -> Callable[[], Steps]:
    def once() -> Steps:
        with threadset() as threads:
            yield from threads.join()

    return once


def sleep_0() -> Callable[[], Steps]:
    return lambda: iter(sleep(0))


KINDS = [
    put_and_get,
    put_and_get_in_time,
    wait_for_event,
    hold_lock,
    hold_semaphore,
    hold_rlock_twice,
    borrow,
    put_and_get_the_smallest,
    send_and_receive,
    wait_for_what_is_true,
    join_ended,
    empty_threadset,
    join_empty_threadset,
    sleep_0,
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_comes_in_between(kind: Callable[[], Callable[[], Steps]]) -> None:
    def main() -> Steps:
        once = kind()
        with pytest.raises(TimeoutError), timeout(0.01):
            for _ in range(MANY):
                yield from once()

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_others_run_and_a_cancel_comes_in_between(kind: Callable[[], Callable[[], Steps]]) -> None:
    def main() -> Steps:
        once = kind()
        rounds = 0

        def looper() -> Steps:
            nonlocal rounds
            while rounds < MANY:
                rounds += 1
                yield from once()

        thread: Thread[object] = newthread(looper)
        assert 0 < rounds <= 65  # this thread runs again after at most this many
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert rounds <= 130

    run(main)


def test_who_is_interrupted_there_has_taken_nothing() -> None:
    def main() -> Steps:
        queue: Queue[int] = Queue()
        semaphore = Semaphore(MANY)
        got = taken = 0

        def getter() -> Steps:
            nonlocal got
            while True:
                yield from queue.get()
                got += 1

        def taker() -> Steps:
            nonlocal taken
            while True:
                yield from semaphore.acquire()
                taken += 1

        for number in range(1000):
            queue.put_nowait(number)
        threads = [newthread(getter), newthread(taker)]
        for thread in threads:
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        assert got + len(queue) == 1000
        assert f"{MANY - taken} free" in repr(semaphore)

    run(main)
