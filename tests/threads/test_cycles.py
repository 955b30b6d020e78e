"""Waits, deadlines and threadsets leave no reference cycle behind, however they end."""

from __future__ import annotations

import gc
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
    call_in_thread,
    newthread,
    run,
    sleep,
    threadset,
    timeout,
)

Steps = Generator[Any, Any, Any]


def block_in_time() -> Steps:
    with timeout(100):
        yield from sleep(0.0001)


def block_out_of_time() -> Steps:
    with pytest.raises(TimeoutError), timeout(0):
        yield from sleep(100)


def blocks_out_of_time() -> Steps:
    with pytest.raises(TimeoutError), timeout(0.001):
        for _ in range(3):
            try:
                with timeout(0.001):
                    try:
                        yield from sleep(100)
                    finally:
                        yield from sleep(100)
            except TimeoutError:
                pass


def get_in_time() -> Steps:
    queue: Queue[int] = Queue()
    queue.put_nowait(1)
    yield from queue.get(timeout_s=100)


def waits_out_of_time() -> Steps:
    items, limiter = PriorityQueue[int](), CapacityLimiter(0)
    for wait in Queue[int]().get, items.get, Event().wait, Semaphore(0).acquire, limiter.acquire:
        with pytest.raises(TimeoutError):
            yield from wait(timeout_s=0)


def waits_for_a_notification() -> Steps:
    for lock in Lock(), RLock():
        condition = Condition(lock)
        with (yield from condition.acquire()):
            with pytest.raises(TimeoutError):
                yield from condition.wait(0)
            with pytest.raises(TimeoutError):
                yield from condition.wait_for(lambda: False, 0)
        thread = newthread(wait_once, condition)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        del thread


def wait_once(condition: Condition) -> Steps:
    with (yield from condition.acquire()):
        yield from condition.wait()


def acquired() -> Steps:
    for made in Lock(), RLock(), Semaphore(1), CapacityLimiter(1):
        with (yield from made.acquire()):
            yield from sleep(0)
        with made.acquire_nowait():
            yield from sleep(0)


def calls() -> Steps:
    yield from call_in_thread(int)
    with pytest.raises(ValueError, match="invalid literal"):
        yield from call_in_thread(int, "x")


def fail() -> Steps:
    yield from sleep(0)
    raise LookupError


async def failed_threadset() -> None:
    async with threadset() as threads:
        threads.newthread(fail)
        await sleep(100)


def failed_async_block() -> Steps:
    with pytest.raises(LookupError):
        yield from failed_threadset().__await__()


def failed_join() -> Steps:
    with pytest.raises(LookupError), threadset() as threads:
        threads.newthread(fail)
        yield from threads.join()


async def waiting_threadset() -> None:
    async with threadset() as threads:
        threads.newthread(sleep, 100)


def join_threadset() -> Steps:
    with threadset() as threads:
        threads.newthread(sleep, 100)
        yield from threads.join()


def owners_end_with_errors() -> Steps:
    with pytest.raises(LookupError):
        yield from newthread(failed_threadset).join()
    for owner in (waiting_threadset, join_threadset):
        newthread(owner).cancel()
    for _ in range(5):
        yield from sleep(0)


def bad_call() -> Steps:
    call: Any = fail
    with pytest.raises(TypeError), threadset() as threads:
        threads.newthread(call, 1)
    yield from sleep(0)


def joined() -> Steps:
    yield from newthread(block_in_time).join()


@pytest.mark.parametrize(
    "main",
    [
        block_in_time,
        block_out_of_time,
        blocks_out_of_time,
        get_in_time,
        waits_out_of_time,
        waits_for_a_notification,
        acquired,
        calls,
        failed_async_block,
        failed_join,
        owners_end_with_errors,
        bad_call,
        joined,
    ],
)
def test_no_cycle_is_left(main: Callable[[], Steps]) -> None:
    run(main)  # objects that are made once and kept
    gc.collect()
    gc.disable()
    try:
        run(main)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [type(one).__name__ for one in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
