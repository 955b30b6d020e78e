"""RLock, acquire_nowait() of all that can be acquired, and the blocks of threads that are dropped."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    CapacityLimiter,
    Condition,
    Lock,
    RLock,
    Semaphore,
    WouldBlock,
    currentthread,
    newthread,
    run,
    serve_threads,
    sleep,
    threadset,
    timeout,
)
from socket2.threads.scheduler import local

from ..interop.peers import LIMIT_S
from .test_sync import ends

Steps = Generator[Any, Any, Any]
Made = Lock | RLock | Semaphore | CapacityLimiter

EACH = pytest.mark.parametrize(
    "make",
    [Lock, RLock, lambda: Semaphore(1), lambda: CapacityLimiter(1)],
    ids=["lock", "rlock", "semaphore", "limiter"],
)


# RLock.


def test_the_holder_acquires_it_again_and_others_wait_until_it_is_free() -> None:
    def main() -> Steps:
        lock, trail = RLock(), list[Any]()

        def other() -> Steps:
            with (yield from lock.acquire()):
                trail.append("other")

        with (yield from lock.acquire()):
            thread = newthread(other)
            with (yield from lock.acquire()), lock.acquire_nowait():
                assert repr(lock) == f"<RLock, held by {currentthread().name!r}, depth 3, 1 waiting>"
            yield from lock.acquire()
            lock.release()
            yield from sleep(0)
            assert not trail
            assert lock.locked()
        yield from ends(thread)
        assert trail == ["other"]
        assert not lock.locked()
        assert repr(lock) == "<RLock, free, depth 0, 0 waiting>"

    run(main)


def test_the_owner_is_the_thread_and_not_the_os_thread() -> None:
    def main() -> Steps:
        lock = RLock()
        with pytest.raises(RuntimeError, match="only the thread that holds"):
            lock.release()
        with (yield from lock.acquire()):
            with pytest.raises(RuntimeError, match="only the thread that holds"):
                yield from newthread(lock.release).join()
            with pytest.raises(WouldBlock):
                newthread(lock.acquire_nowait).result()
            with pytest.raises(TimeoutError):
                yield from newthread(lock.acquire, 0.001).join()
        with pytest.raises(RuntimeError, match="only the thread that holds"):
            lock.release()

    run(main)


def test_an_async_block_in_a_block() -> None:
    lock = RLock()

    async def main() -> None:
        async with lock, lock:
            async with lock:
                await sleep(0)
            assert lock.locked()
        assert not lock.locked()

    run(main)


def test_who_acquires_it_again_and_again_lets_others_run() -> None:
    lock, others = RLock(), list[int]()

    def other() -> Steps:
        for at in range(3):
            yield from sleep(0)
            others.append(at)

    def main() -> Steps:
        newthread(other)
        for _ in range(1000):
            yield from lock.acquire()
        assert others == [0, 1, 2]
        for _ in range(1000):
            lock.release()
        assert not lock.locked()

    run(main)


def test_members_of_one_scheduler_hold_it_one_at_a_time() -> None:
    lock, total = RLock(), [0]

    def worker() -> Steps:
        for _ in range(50):
            with (yield from lock.acquire()):
                before = total[0]
                with (yield from lock.acquire()):
                    yield from sleep(0)
                total[0] = before + 1

    threads = [newthread(worker) for _ in range(8)]
    assert serve_threads(4)
    assert [thread.result() for thread in threads] == [None] * 8
    assert total == [400]


# All of them.


@EACH
def test_acquire_nowait_gives_the_block_of_acquire_or_raises(make: Callable[[], Made]) -> None:
    def main() -> Steps:
        made = make()

        def hold(release: list[Any]) -> Steps:
            with made.acquire_nowait():
                while not release:
                    yield from sleep(0)

        release: list[Any] = []
        thread = newthread(hold, release)
        with pytest.raises(WouldBlock, match="would wait"):
            made.acquire_nowait()
        waiter = newthread(made.acquire)
        release.append("now")
        yield from thread.join()
        with pytest.raises(WouldBlock):  # it belongs to the waiter
            made.acquire_nowait()
        yield from ends(waiter)

    run(main)


@EACH
def test_a_cancel_at_the_wait_leaves_it_free(make: Callable[[], Made]) -> None:
    def main() -> Steps:
        made = make()
        with (yield from made.acquire()):
            waiters = [newthread(made.acquire) for _ in range(3)]
            for waiter in waiters:
                waiter.cancel()
            yield from ends(*waiters)
            assert all(isinstance(waiter.error, Cancelled) for waiter in waiters)
        with made.acquire_nowait():
            pass

    run(main)


def drop(func: Callable[[], Any]) -> None:
    """Run a thread to its first wait, and drop it with its scheduler. A finalizer ends its blocks."""

    def main() -> Steps:
        newthread(func)
        yield from sleep(0)

    run(main)
    scheduler = local.scheduler
    assert scheduler is not None
    scheduler.poller.shutdown()
    del scheduler
    local.scheduler = local.member = None
    gc.collect()


@EACH
def test_a_thread_that_is_dropped_lets_it_go(make: Callable[[], Made]) -> None:
    """Outside of all threads, and without a complaint."""
    states: list[str] = []

    def generator() -> Steps:
        made = make()
        try:
            with (yield from made.acquire()):
                yield from sleep(1000)
        finally:
            states.append(repr(made))

    async def coroutine() -> None:
        made = make()
        try:
            async with made:
                await sleep(1000)
        finally:
            states.append(repr(made))

    drop(generator)
    drop(coroutine)
    assert states == [repr(make())] * 2


def test_a_dropped_thread_that_waits_for_a_notification_has_no_lock_to_let_go() -> None:
    ended: list[bool] = []

    def generator() -> Steps:
        condition = Condition()
        try:
            with (yield from condition.acquire()):
                yield from condition.wait()
        finally:
            ended.append(condition.locked())

    async def coroutine() -> None:
        condition = Condition()
        try:
            async with condition:
                await condition.wait()
        finally:
            ended.append(condition.locked())

    drop(generator)
    drop(coroutine)
    assert ended == [False, False]


@pytest.mark.parametrize("make", [Lock, RLock])
def test_a_dropped_wait_leaves_the_lock_to_whoever_holds_it(make: Callable[[], Lock | RLock]) -> None:
    def inner(condition: Condition) -> Steps:
        with (yield from condition.acquire()):
            yield from condition.wait()

    def waiting_for(condition: Condition) -> Any:
        steps = inner(condition)
        next(steps)
        assert not condition.locked()
        return steps

    def main() -> Steps:
        condition = Condition(make())
        steps = waiting_for(condition)
        with (yield from condition.acquire()):
            steps.close()
            assert condition.locked()
        steps = waiting_for(condition)
        with (yield from condition.acquire()):
            condition.notify()
            steps.close()
            assert condition.locked()
        assert not condition.locked()
        assert condition._lock._blocks_without == 0

    run(main)


@pytest.mark.parametrize("make", [Lock, RLock, lambda: Semaphore(1)], ids=["lock", "rlock", "semaphore"])
def test_an_async_generator_that_is_left_early_lets_it_go(make: Callable[[], Lock | RLock | Semaphore]) -> None:
    """The loop closes it in another thread."""

    async def numbers(made: Any) -> AsyncGenerator[int, None]:
        async with made:
            yield 1
            yield 2

    async def main() -> None:
        made = make()
        async for _ in numbers(made):
            break
        with timeout(LIMIT_S):
            await newthread(made.acquire).join()

    run(main)


def test_a_lock_that_a_thread_leaves_by_closing_a_generator_is_free() -> None:
    lock = Lock()

    def inner() -> Steps:
        with (yield from lock.acquire()):
            yield from sleep(0)

    def main() -> Steps:
        steps = inner()
        waits = next(steps)
        assert lock.locked()
        steps.close()
        assert waits is not None
        assert not lock.locked()
        yield from ()

    run(main)


# CapacityLimiter.


def test_a_limiter_knows_its_borrowers() -> None:
    def main() -> Steps:
        limiter = CapacityLimiter(2)
        assert (limiter.total, limiter.borrowed, limiter.available) == (2, 0, 2)
        with pytest.raises(RuntimeError, match="has not borrowed"):
            limiter.release()
        with (yield from limiter.acquire()):
            assert (limiter.borrowed, limiter.available) == (1, 1)
            with pytest.raises(RuntimeError, match="has already borrowed"):
                yield from limiter.acquire()
            with pytest.raises(RuntimeError, match="has already borrowed"):
                limiter.acquire_nowait()
            with pytest.raises(RuntimeError, match="has not borrowed"):
                yield from newthread(limiter.release).join()
            assert repr(limiter) == "<CapacityLimiter, 1 of 2 borrowed, 0 waiting>"
        assert limiter.available == 2

    run(main)


def test_the_total_can_be_changed_while_threads_wait() -> None:
    def main() -> Steps:
        limiter, inside, leave = CapacityLimiter(1), list[int](), Semaphore(0)

        def worker(name: int) -> Steps:
            with (yield from limiter.acquire()):
                inside.append(name)
                yield from leave.acquire()

        with threadset() as ts:
            for name in range(6):
                ts.newthread(worker, name)
            assert inside == [0]
            limiter.total = 3
            assert limiter.borrowed == 3
            yield from sleep(0)
            assert inside == [0, 1, 2]
            limiter.total = 1
            assert (limiter.borrowed, limiter.available) == (3, 0)
            for left in (2, 1):
                leave.release()
                yield from sleep(0)
                yield from sleep(0)
                assert (limiter.borrowed, len(inside)) == (left, 3)
            leave.release()
            yield from sleep(0)
            yield from sleep(0)
            assert inside == [0, 1, 2, 3]
            limiter.total = 0
            leave.release()
            yield from sleep(0)
            yield from sleep(0)
            assert (limiter.borrowed, len(inside)) == (0, 4)
            limiter.total = 100
            for _ in range(2):
                leave.release()
            yield from ts.join()
        assert inside == list(range(6))
        assert (limiter.borrowed, limiter.available) == (0, 100)

    run(main)


def test_totals() -> None:
    for wrong in (-1, -100):
        with pytest.raises(ValueError, match="must not be negative"):
            CapacityLimiter(wrong)
    limiter = CapacityLimiter(1)
    with pytest.raises(TypeError):
        limiter.total = 1.5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="must not be negative"):
        limiter.total = -1
    assert limiter.total == 1
