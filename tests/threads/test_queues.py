"""Queues, and what several OS threads do with events, locks and queues."""

from __future__ import annotations

import hashlib
import queue
import random
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import (
    Closed,
    Event,
    Lock,
    PriorityQueue,
    Queue,
    Semaphore,
    Thread,
    currentthread,
    newthread,
    run,
    serve_threads,
    sleep,
    threadset,
    timeout,
)

from .test_sync import ends, line_of, noting

Steps = Generator[Any, Any, Any]


# Queues.


@pytest.mark.parametrize("size", [None, 0, 1, 3])
def test_items_come_in_order(size: int | None) -> None:
    def main() -> Steps:
        items = Queue[int](size)

        def producer() -> Steps:
            for item in range(50):
                yield from items.put(item)
                assert size is None or len(items) <= size
            items.close()

        async def consumer() -> list[int]:
            return [item async for item in items]

        with threadset(keep_outcomes=True) as ts:
            ts.newthread(producer)
            ts.newthread(consumer)
            return (yield from ts.join())

    assert run(main) == [None, list(range(50))]


def test_a_full_queue_makes_putters_wait_in_line() -> None:
    def main() -> Steps:
        items, trail = Queue[Any](2), list[Any]()
        putters = [newthread(noting, trail, at, partial(items.put, at)) for at in range(5)]
        assert trail == [0, 1]
        with pytest.raises(queue.Full):
            items.put_nowait("x")
        putters[3].cancel()
        got = []
        for _ in range(4):
            got.append((yield from items.get()))
        yield from ends(*putters)
        assert got == [0, 1, 2, 4]
        assert trail == [0, 1, 2, 4]
        with pytest.raises(queue.Empty):
            items.get_nowait()
        items.put_nowait("y")
        assert items.get_nowait() == "y"

    run(main)


def test_getters_are_served_in_the_order_they_came() -> None:
    def main() -> Steps:
        items, trail = Queue[str](), list[Any]()
        getters = line_of(trail, 4, items.get)
        getters[1].cancel()
        for item in "abc":
            yield from items.put(item)
        yield from ends(*getters)
        assert trail == [(0, "a"), (2, "b"), (3, "c")]

    run(main)


def test_calls_out_of_time_leave_nothing() -> None:
    def main() -> Steps:
        items = Queue[str](1)
        with pytest.raises(TimeoutError):
            yield from items.get(0.001)
        with pytest.raises(TimeoutError), timeout(0.001):
            yield from items.get()
        yield from items.put("first", 0.001)
        with pytest.raises(TimeoutError):
            yield from items.put("never", 0.001)
        assert (yield from items.get(0)) == "first"
        assert len(items) == 0
        for wrong in (lambda: items.get(-1), lambda: items.put("x", -1), lambda: Event().wait(-1)):
            with pytest.raises(ValueError, match="negative"):
                wrong()

    run(main)


def test_an_item_that_a_closed_generator_had_got_goes_to_the_next_or_back() -> None:
    def main() -> Steps:
        for second in (True, False):
            items, trail = Queue[str](1), list[Any]()
            dropped = items.get().__iter__()
            next(dropped)
            threads = line_of(trail, 1, items.get) if second else []
            items.put_nowait("item")
            dropped.close()
            yield from ends(*threads)
            assert trail == ([(0, "item")] if second else [])
            assert len(items) == (0 if second else 1)

    run(main)


def test_an_item_that_comes_back_makes_the_queue_too_full_for_a_moment_only() -> None:
    def main() -> Steps:
        items = Queue[int](1)
        dropped = items.get().__iter__()
        next(dropped)
        items.put_nowait(0)
        items.put_nowait(1)
        putter = newthread(items.put, 2)
        dropped.close()
        got, lengths = [], [len(items)]
        for _ in range(3):
            got.append((yield from items.get()))
            lengths.append(len(items))
        yield from putter.join()
        assert got == [0, 1, 2]
        assert lengths == [2, 1, 1, 0]

    run(main)


def test_closing_wakes_all_and_leaves_what_is_in() -> None:
    def main() -> Steps:
        items = Queue[int](1)
        getter = newthread(items.get)
        items.close()
        with pytest.raises(Closed, match="queue is closed"):
            yield from getter.join()

        items = Queue[int](1)
        items.put_nowait(1)
        putter = newthread(items.put, 2)
        items.close()
        items.close()
        with pytest.raises(Closed):
            yield from putter.join()
        with pytest.raises(Closed):
            yield from items.put(3)
        assert (yield from items.get()) == 1
        with pytest.raises(Closed):
            yield from items.get()
        with pytest.raises(Closed):
            items.get_nowait()

    run(main)


def test_an_empty_queue_is_true() -> None:
    assert Queue[int]()
    assert PriorityQueue[int]()


def test_what_has_a_length_is_true_or_a_sequence() -> None:
    """An object that holds something for others is there, whether it is empty or not."""
    public = map(vars(socket2).get, socket2.__all__)
    classes = [one for one in public if isinstance(one, type) and hasattr(one, "__len__")]
    assert Queue in classes
    assert not [one for one in classes if not issubclass(one, Sequence) and "__bool__" not in dir(one)]


def test_sizes() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Queue(-1)


def test_they_say_what_they_are_and_who_waits() -> None:
    def main() -> Steps:
        event, lock, items = Event(), Lock(), Queue[int](0)
        threads = [newthread(event.wait), newthread(items.put, 1)]
        assert (repr(event), repr(lock)) == ("<Event, 1 waiting>", "<Lock, free, 0 waiting>")
        assert repr(items) == "<Queue, 0 of 0, 1 putting, 0 getting>"
        assert "event" in repr(threads[0])
        assert "queue" in repr(threads[1])
        for thread in threads:
            thread.cancel()
        yield from ends(*threads)

    run(main)


@pytest.mark.parametrize("seed", range(30))
def test_no_item_and_no_permit_is_lost_whatever_is_cancelled(seed: int) -> None:
    """Each producer and consumer holds a permit while it works; cancels and timeouts fall anywhere."""
    dice = random.Random(seed)

    def main() -> Steps:
        items, permits = Queue[int](dice.choice([None, 0, 1, 2])), Semaphore(3)
        put: list[int] = []
        got: list[int] = []

        def producer(first: int) -> Steps:
            for item in range(first, first + 10):
                with (yield from permits.acquire()):
                    yield from items.put(item, dice.choice([None, 0, 0.001]))
                    put.append(item)

        def consumer() -> Steps:
            while True:
                got.append((yield from items.get(dice.choice([None, None, 0, 0.001]))))

        threads = [newthread(quiet, producer, at * 100) for at in range(5)] + [
            newthread(quiet, consumer) for _ in range(5)
        ]
        for _ in range(20):
            yield from sleep(dice.choice([0, 0, 0.0005]))
            dice.choice(threads).cancel()
            if dice.random() < 0.5:
                threads.append(newthread(quiet, consumer))
        for thread in threads[:5]:
            thread.cancel()
        yield from ends(*threads[:5])
        try:
            while True:
                got.append((yield from items.get(0)))
        except TimeoutError:
            pass
        for thread in threads:
            thread.cancel()
        yield from ends(*threads)
        assert sorted(got) == sorted(put)
        for _ in range(3):
            yield from permits.acquire(0)

    def quiet(work: Callable[..., Steps], *args: Any) -> Steps:
        try:
            yield from work(*args)
        except TimeoutError:
            pass

    run(main)


# Several OS threads.


def test_what_threads_of_several_os_threads_wait_with_loses_nothing() -> None:
    """Producers, consumers and permit holders release the GIL, so that members take over from each other."""
    items, permits, mutex, done = Queue[int](3), Semaphore(2), Lock(), Event()
    os_threads: set[int] = set()
    got: list[int] = []
    holders: set[Thread[object]] = set()
    most: list[int] = []

    def toil() -> None:
        os_threads.add(threading.get_ident())
        hashlib.pbkdf2_hmac("sha256", b"", b"salt", 20_000)

    def producer(first: int) -> Steps:
        for item in range(first, first + 10):
            toil()
            yield from items.put(item)

    def consumer() -> Steps:
        while True:
            item = yield from items.get()
            with (yield from permits.acquire()):
                holders.add(currentthread())
                most.append(len(holders))
                toil()
                holders.discard(currentthread())
            with (yield from mutex.acquire()):
                got.append(item)
                if len(got) == 50:
                    done.set()

    def main() -> Steps:
        consumers = [newthread(consumer) for _ in range(4)]
        for first in range(0, 500, 100):
            newthread(producer, first)
        yield from done.wait()
        for thread in consumers:
            thread.cancel()

    newthread(main)
    assert serve_threads(4)
    assert sorted(got) == [first + at for first in range(0, 500, 100) for at in range(10)]
    assert max(most) <= 2
    assert len(os_threads) > 1


def test_who_waits_when_a_queue_is_closed_leaves_nothing_in_it() -> None:
    """Formerly each of them put back an item that it had not got."""
    items: Queue[str] = Queue()

    def getter() -> Steps:
        with pytest.raises(Closed):
            yield from items.get()

    def main() -> Steps:
        getters = [newthread(getter) for _ in range(3)]
        items.close()
        for thread in getters:
            yield from thread.join()
        assert len(items) == 0
        with pytest.raises(Closed):
            yield from items.get()

    run(main)
