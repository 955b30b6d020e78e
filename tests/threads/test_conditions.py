"""Condition variables: a wait ends with the lock, however it ends, and no notification is lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any

import pytest

import socket2
from socket2 import (
    Cancelled,
    Condition,
    Lock,
    Operation,
    RLock,
    Thread,
    WouldBlock,
    currentthread,
    newthread,
    run,
    serve_threads,
    sleep,
    threadset,
    timeout,
)
from socket2.threads.scheduler import current_scheduler

from .test_sync import ends

Steps = Generator[Any, Any, Any]

LOCKS = pytest.mark.parametrize("make_lock", [Lock, RLock])


def waiter(
    condition: Condition, trail: list[Any], name: Any, wait: Callable[[], Operation[Any]] | None = None
) -> Steps:
    """Note how the wait ends. Each end must have the lock."""
    with (yield from condition.acquire()):
        try:
            yield from (wait or condition.wait)()
            trail.append(name)
        except (Cancelled, TimeoutError) as error:
            assert condition._lock._is_mine()
            trail.append((name, type(error).__name__))
            raise
        finally:
            assert condition._lock._is_mine()


def waiting(condition: Condition, trail: list[Any], count: int) -> list[Thread[Any]]:
    return [newthread(waiter, condition, trail, at) for at in range(count)]


def notifying(condition: Condition, n: int) -> Steps:
    with (yield from condition.acquire()):
        condition.notify(n)


@LOCKS
def test_waiters_are_notified_in_the_order_they_came(make_lock: Callable[[], Lock | RLock]) -> None:
    def main() -> Steps:
        condition, trail = Condition(make_lock()), list[Any]()
        threads = waiting(condition, trail, 6)
        assert not condition.locked()
        for n, expected in ((1, 1), (2, 3), (0, 3)):
            yield from notifying(condition, n)
            yield from ends(*threads[:expected])
            assert trail == list(range(expected))
        with (yield from condition.acquire()):
            condition.notify_all()
            yield from sleep(0)
            assert len(trail) == 3  # the lock is not theirs yet
        yield from ends(*threads)
        assert trail == list(range(6))
        yield from notifying(condition, 5)  # nobody is there: this is not kept for later
        with pytest.raises(TimeoutError):
            yield from newthread(waiter, condition, trail, "late", lambda: condition.wait(0.001)).join()
        assert not condition.locked()

    run(main)


def test_both_kinds_of_thread_and_block() -> None:
    condition, items = Condition(), list[int]()

    async def consumer() -> list[int]:
        got = []
        for _ in range(5):
            async with condition:
                await condition.wait_for(lambda: items)
                got.append(items.pop(0))
        return got

    def producer() -> Steps:
        for item in range(10):
            with (yield from condition.acquire()):
                items.append(item)
                condition.notify()
            yield from sleep(0)

    def main() -> Steps:
        with threadset(keep_outcomes=True) as ts:
            for func in (consumer, consumer, producer):
                ts.newthread(func)
            return (yield from ts.join())

    first, second, _ = run(main)
    assert sorted(first + second) == list(range(10))


def test_only_the_holder_of_the_lock_may_use_it() -> None:
    def main() -> Steps:
        condition = Condition()
        for call in (condition.notify, condition.notify_all, condition.release):
            with pytest.raises(RuntimeError, match="only the thread that holds"):
                call()
        for make in (condition.wait, lambda: condition.wait_for(lambda: True)):
            with pytest.raises(RuntimeError, match="only the thread that holds"):
                yield from make()
        with condition.acquire_nowait():
            with pytest.raises(RuntimeError, match="only the thread that holds"):
                yield from newthread(condition.wait).join()
            with pytest.raises(WouldBlock):
                newthread(condition.acquire_nowait).result()
            with pytest.raises(ValueError, match="negative"):
                condition.notify(-1)
            with pytest.raises(ValueError, match="negative"):
                condition.wait(-1)
        assert not condition.locked()

    run(main)
    with pytest.raises(TypeError, match="must be a Lock or an RLock"):
        Condition(object())  # type: ignore[arg-type]


@LOCKS
@pytest.mark.parametrize("end", ["cancel", "timeout", "block"])
def test_a_wait_that_is_cut_short_has_the_lock_again(end: str, make_lock: Callable[[], Lock | RLock]) -> None:
    def main() -> Steps:
        condition, trail = Condition(make_lock()), list[Any]()

        def in_time() -> Operation[None]:
            return condition.wait(0.001 if end == "timeout" else None)

        def in_block() -> Steps:
            with timeout(0.001 if end == "block" else None):
                yield from waiter(condition, trail, "it", in_time)

        thread = newthread(in_block)
        if end == "cancel":
            with (yield from condition.acquire()):
                thread.cancel()
                for _ in range(3):
                    yield from sleep(0)
                assert not trail  # it waits for the lock, and nothing cuts that short
                thread.cancel()
                yield from sleep(0)
                assert not trail
            with pytest.raises(Cancelled):
                yield from thread.join()
        else:
            with pytest.raises(TimeoutError):
                yield from thread.join()
        assert trail == [("it", "TimeoutError" if end == "timeout" else "Cancelled")]
        assert not condition.locked()
        with condition.acquire_nowait():
            pass

    run(main)


def test_who_was_notified_and_is_cancelled_then_returns() -> None:
    """The cancellation is raised at the next wait, which is not that for the lock."""

    def main() -> Steps:
        condition, trail = Condition(), list[Any]()

        def patient() -> Steps:
            yield from waiter(condition, trail, "notified")
            yield from sleep(1000)

        thread = newthread(patient)
        with (yield from condition.acquire()):
            condition.notify()
            thread.cancel()
            yield from sleep(0)
            thread.cancel()
            yield from sleep(0)
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert trail == ["notified"]
        assert not condition.locked()

    run(main)


def test_who_is_cancelled_first_leaves_the_notification_to_the_next() -> None:
    def main() -> Steps:
        condition, trail = Condition(), list[Any]()
        threads = waiting(condition, trail, 3)
        with (yield from condition.acquire()):
            threads[0].cancel()
            condition.notify()
        yield from ends(*threads[:2])
        assert trail == [(0, "Cancelled"), 1]
        threads[2].cancel()
        yield from ends(*threads)

    run(main)


def test_a_wait_that_was_notified_and_is_closed_passes_it_on() -> None:
    def main() -> Steps:
        condition, trail = Condition(), list[Any]()
        yield from condition.acquire()
        dropped = condition.wait().__iter__()
        next(dropped)
        second = newthread(waiter, condition, trail, "second")
        yield from notifying(condition, 1)
        dropped.close()
        yield from ends(second)
        assert trail == ["second"]
        assert not condition.locked()

    run(main)


def test_a_lock_that_was_acquired_twice_is_let_go_and_taken_twice() -> None:
    def main() -> Steps:
        lock = RLock()
        condition, trail = Condition(lock), list[Any]()

        def deep() -> Steps:
            with (yield from lock.acquire()), (yield from condition.acquire()), (yield from lock.acquire()):
                yield from condition.wait()
                trail.append(repr(lock))

        thread = newthread(deep, name="deep")
        assert not lock.locked()
        yield from notifying(condition, 1)
        yield from ends(thread)
        assert trail == ["<RLock, held by 'deep', depth 3, 0 waiting>"]
        assert not lock.locked()

    run(main)


def test_conditions_may_share_a_lock() -> None:
    """A bounded buffer with two conditions."""
    lock = Lock()
    not_empty, not_full, items = Condition(lock), Condition(lock), list[int]()

    def producer() -> Steps:
        for item in range(50):
            with (yield from lock.acquire()):
                yield from not_full.wait_for(lambda: len(items) < 3)
                items.append(item)
                not_empty.notify()

    def consumer() -> Steps:
        got = []
        for _ in range(50):
            with (yield from lock.acquire()):
                yield from not_empty.wait_for(lambda: items)
                got.append(items.pop(0))
                not_full.notify()
        return got

    def main() -> Steps:
        with threadset(keep_outcomes=True) as ts:
            ts.newthread(consumer)
            ts.newthread(producer)
            return (yield from ts.join())

    assert run(main) == [list(range(50)), None]


def test_wait_for_returns_what_the_predicate_does_and_raises_its_error() -> None:
    def main() -> Steps:
        condition, value = Condition(), list[str]()
        with (yield from condition.acquire()):
            assert (yield from condition.wait_for(lambda: "at once")) == "at once"
            with pytest.raises(ZeroDivisionError):
                yield from condition.wait_for(lambda: 1 // 0)
            with pytest.raises(TimeoutError):
                yield from condition.wait_for(lambda: value, 0.001)
            assert condition.locked()

        def wait() -> Steps:
            with (yield from condition.acquire()):
                return (yield from condition.wait_for(lambda: value and value[0]))

        thread = newthread(wait)
        yield from notifying(condition, 1)
        value.append("it")
        yield from sleep(0)
        yield from notifying(condition, 1)
        assert (yield from thread.join()) == "it"

    run(main)


def test_a_predicate_that_returns_an_operation_is_refused() -> None:
    """An operation would seem to be true at once."""

    def main() -> Steps:
        condition, event = Condition(), socket2.Event()
        with (yield from condition.acquire()):
            with pytest.raises(TypeError, match="must be a plain function, but .* has returned"):
                yield from condition.wait_for(event.wait)
            assert condition.locked()

    run(main)


def test_a_loop_whose_threads_wait_for_a_notification_is_at_its_end() -> None:
    condition = Condition()

    def main() -> Steps:
        yield from waiter(condition, [], "never")

    def end() -> Steps:
        for thread in list(current_scheduler().threads):
            if thread is not currentthread():
                assert "waiting: <condition>" in repr(thread)
                thread.cancel()
                yield from ends(thread)

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)
    assert repr(condition) == "<Condition, 1 waiting, <Lock, free, 0 waiting>>"
    run(end)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_no_notification_is_lost_whatever_is_cancelled(seed: int, members: int) -> None:
    """Each notification is for one item. If a waiter ate one, an item would be left while threads wait."""
    dice = random.Random(seed)
    condition, items, got = Condition(Lock() if seed % 2 else RLock()), list[int](), list[int]()
    rounds = 100

    def consumer() -> Steps:
        while True:
            with (yield from condition.acquire()):
                while not items:
                    yield from condition.wait(dice.choice([None, None, 0, 0.0005]))
                got.append(items.pop())

    def stubborn() -> Steps:
        """Consumers come and go, and the last one takes what is left."""
        while len(got) < rounds:
            try:
                yield from consumer()
            except TimeoutError:
                pass

    def main() -> Steps:
        threads = [newthread(stubborn) for _ in range(5)]
        for item in range(rounds):
            with (yield from condition.acquire()):
                items.append(item)
                condition.notify()
            for at in range(len(threads)):
                if dice.random() < 0.2:
                    threads[at].cancel()
                    threads.append(newthread(stubborn))
            yield from sleep(dice.choice([0, 0, 0.0005]))
            threads = [thread for thread in threads if not thread.done]
        while len(got) < rounds:  # without a further notification
            yield from sleep(0.001)
        for thread in threads:
            thread.cancel()
        yield from ends(*threads)
        assert sorted(got) == list(range(rounds))
        assert not condition.locked()

    thread = newthread(main)
    assert serve_threads(members)
    assert thread.result() is None
