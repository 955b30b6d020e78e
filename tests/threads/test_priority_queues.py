"""PriorityQueue: the smallest item first, equal ones in their order, and no comparison under the lock."""

from __future__ import annotations

import queue
import random
from collections.abc import Generator
from functools import partial, total_ordering
from typing import Any

import pytest

from socket2 import Closed, PriorityQueue, Queue, newthread, run, serve_threads, sleep, threadset
from socket2.threads.lock import is_held

from .test_sync import ends, line_of, noting

Steps = Generator[Any, Any, Any]


def drained(items: PriorityQueue[Any]) -> list[Any]:
    got = []
    while len(items):
        got.append(items.get_nowait())
    return got


@total_ordering
class Job:
    """Compares by its priority only."""

    def __init__(self, priority: int, name: Any = None) -> None:
        self.priority = priority
        self.name = name

    def __lt__(self, other: Job) -> bool:
        assert not is_held()
        return self.priority < other.priority


@pytest.mark.parametrize("seed", range(10))
def test_items_come_out_as_sorted_does_it(seed: int) -> None:
    dice = random.Random(seed)
    items: PriorityQueue[Job] = PriorityQueue()
    kept: list[Job] = []
    for at in range(300):
        if kept and dice.random() < 0.4:
            kept.sort(key=lambda job: job.priority)
            assert items.get_nowait() is kept.pop(0)
        else:
            kept.append(Job(dice.randrange(10), at))
            items.put_nowait(kept[-1])
        assert len(items) == len(kept)
    assert drained(items) == sorted(kept, key=lambda job: job.priority)


def test_it_has_the_interface_of_a_queue() -> None:
    def main() -> Steps:
        items = PriorityQueue[int](2)
        assert isinstance(items, Queue)
        yield from items.put(2)
        items.put_nowait(1)
        with pytest.raises(queue.Full):
            items.put_nowait(0)
        with pytest.raises(TimeoutError):
            yield from items.put(0, 0.001)
        assert len(items) == 2
        assert repr(items) == "<PriorityQueue, 2 of 2, 0 putting, 0 getting>"
        assert (yield from items.get()) == 1
        assert items.get_nowait() == 2
        with pytest.raises(queue.Empty):
            items.get_nowait()
        with pytest.raises(TimeoutError):
            yield from items.get(0.001)
        getter = newthread(items.get)
        yield from items.put(3)
        assert (yield from getter.join()) == 3

    run(main)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="must be at least 1"):
            PriorityQueue(wrong)


def test_threads_that_wait_for_room_put_their_items_in_in_the_order_they_came() -> None:
    def main() -> Steps:
        items, trail = PriorityQueue[int](1), list[Any]()
        putters = [newthread(noting, trail, item, partial(items.put, item)) for item in (5, 3, 4, 1)]
        putters[2].cancel()
        got = []
        for _ in range(3):
            got.append((yield from items.get()))
        yield from ends(*putters)
        assert got == [5, 3, 1]
        assert trail == [5, 3, 1]

    run(main)


def test_who_comes_later_does_not_take_the_room_of_who_has_waited() -> None:
    def main() -> Steps:
        items, trail = PriorityQueue[int](1), list[Any]()
        items.put_nowait(1)
        waiter = newthread(noting, trail, "waited", lambda: items.put(2))
        assert items.get_nowait() == 1
        with pytest.raises(queue.Full):
            items.put_nowait(0)
        yield from ends(waiter)
        assert drained(items) == [2]

    run(main)


def test_an_item_that_cannot_be_compared_is_refused_and_takes_no_room() -> None:
    def main() -> Steps:
        items = PriorityQueue[Any](2)
        yield from items.put(1)
        with pytest.raises(TypeError, match="not supported"):
            yield from items.put("x")
        with pytest.raises(TypeError, match="not supported"):
            items.put_nowait("x")
        assert len(items) == 1
        yield from items.put(2)
        refused, second = newthread(items.put, "x"), newthread(items.put, 0)
        assert items.get_nowait() == 1
        with pytest.raises(TypeError, match="not supported"):
            yield from refused.join()
        yield from second.join()  # and the room went to the next one
        assert drained(items) == [0, 2]

    run(main)


def test_a_comparison_may_use_the_queue_itself() -> None:
    items = PriorityQueue[Any]()

    class Meddler(Job):
        times = 3

        def __lt__(self, other: Job) -> bool:
            if Meddler.times:
                Meddler.times -= 1
                items.put_nowait(Job(Meddler.times, "meddled"))
            return super().__lt__(other)

    for priority in range(5):
        items.put_nowait(Job(priority * 10))
    items.put_nowait(Meddler(25))
    assert [job.priority for job in drained(items)] == [0, 0, 1, 2, 10, 20, 25, 30, 40]


def test_a_comparison_may_empty_the_queue() -> None:
    items = PriorityQueue[Any]()

    class Thief(Job):
        def __lt__(self, other: Job) -> bool:
            drained(items)
            return super().__lt__(other)

    for priority in range(5):
        items.put_nowait(Job(priority))
    items.put_nowait(Thief(2))
    assert [job.priority for job in drained(items)] == [2]


def test_a_comparison_that_raises_index_error_raises_it() -> None:
    class Broken:
        def __lt__(self, other: object) -> bool:
            raise IndexError("mine")

    items = PriorityQueue[Any]()
    items.put_nowait(Broken())
    with pytest.raises(IndexError, match="mine"):
        items.put_nowait(Broken())
    assert len(items) == 1


def test_closing_wakes_all_and_leaves_what_is_in() -> None:
    def main() -> Steps:
        items = PriorityQueue[int](1)
        getter = newthread(items.get)
        items.close()
        with pytest.raises(Closed, match="queue is closed"):
            yield from getter.join()

        items = PriorityQueue[int](1)
        items.put_nowait(1)
        putter, has_room = newthread(items.put, 2), newthread(items.put, 3)
        assert items.get_nowait() == 1  # the first putter has room now, and has not run yet
        items.close()
        for thread in (putter, has_room):
            with pytest.raises(Closed):
                yield from thread.join()
        with pytest.raises(Closed):
            items.put_nowait(3)
        with pytest.raises(Closed):
            items.get_nowait()

        items = PriorityQueue[int]()
        for item in (3, 1, 2):
            items.put_nowait(item)
        items.close()

        async def rest() -> list[int]:
            return [item async for item in items]

        assert (yield from newthread(rest).join()) == [1, 2, 3]

    run(main)


def test_an_item_that_a_closed_generator_had_got_goes_to_the_next_or_back() -> None:
    def main() -> Steps:
        for second in (True, False):
            items, trail = PriorityQueue[int](2), list[Any]()
            dropped = items.get().__iter__()
            next(dropped)
            threads = line_of(trail, 1, items.get) if second else []
            items.put_nowait(5)
            items.put_nowait(7) if not second else None
            dropped.close()
            yield from ends(*threads)
            assert trail == ([(0, 5)] if second else [])
            assert drained(items) == ([] if second else [5, 7])

    run(main)


def test_room_that_a_closed_generator_had_goes_to_the_next() -> None:
    def main() -> Steps:
        items = PriorityQueue[int](1)
        items.put_nowait(1)
        dropped = items.put(2).__iter__()
        next(dropped)
        second = newthread(items.put, 3)
        assert items.get_nowait() == 1
        dropped.close()
        yield from second.join()
        assert drained(items) == [3]

    run(main)


@pytest.mark.parametrize("members", [1, 4])
def test_nothing_is_lost_whatever_is_cancelled(members: int) -> None:
    dice = random.Random(members)
    items: PriorityQueue[Any] = PriorityQueue(3)
    put: list[int] = []
    got: list[int] = []

    def producer(first: int) -> Steps:
        for item in range(first, first + 20):
            try:
                yield from items.put(Job(dice.randrange(5), item), dice.choice([None, None, 0, 0.001]))
                put.append(item)
            except TimeoutError:
                pass
            yield from sleep(0)

    def consumer() -> Steps:
        while True:
            try:
                got.append((yield from items.get(dice.choice([None, None, 0, 0.001]))).name)
            except TimeoutError:
                pass
            yield from sleep(0)

    def main() -> Steps:
        producers = [newthread(producer, at * 100) for at in range(8)]
        consumers = [newthread(consumer) for _ in range(4)]
        for at in range(20):
            yield from sleep(0.0003)
            dice.choice(consumers).cancel()
            consumers.append(newthread(consumer))
            if at % 5 == 0:
                dice.choice(producers).cancel()
        yield from ends(*producers)
        while len(items):
            yield from sleep(0.001)
        for thread in consumers:
            thread.cancel()
        yield from ends(*consumers)

    thread = newthread(main)
    assert serve_threads(members)
    assert thread.result() is None
    assert sorted(got) == sorted(put)


def test_it_is_shared_by_members_while_comparisons_let_others_run() -> None:
    import threading

    tick = threading.Event()

    class Slow(Job):
        def __lt__(self, other: Job) -> bool:
            tick.wait(0.0002)
            return super().__lt__(other)

    items: PriorityQueue[Job] = PriorityQueue()

    def producer() -> Steps:
        for _ in range(10):
            yield from items.put(Slow(random.randrange(100)))
            yield from sleep(0)

    def main() -> Steps:
        with threadset() as ts:
            for _ in range(6):
                ts.newthread(producer)
            yield from ts.join()

    thread = newthread(main)
    assert serve_threads(4)
    assert thread.result() is None
    priorities = [job.priority for job in drained(items)]
    assert len(priorities) == 60
    assert priorities == sorted(priorities)
