"""How threads of one scheduler wait for each other: events, locks, semaphores and queues. First come, first served.

A waiter that is woken owns what it is woken with. A later cancellation does not take that away. A waiter that is
cancelled first has left the line, and is given nothing. State is changed under the lock, in short functions that do not
wait.
"""

from __future__ import annotations

import operator
import queue
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import pollers
from pollers import Closed, Operation, operation

from .deadline import Patience
from .line import Line, Place
from .lock import lock, locked
from .scheduler import leave_to_loop
from .thread import Thread, currentthread, over_at_once
from .timers import duration

T = TypeVar("T")


def _within(timeout_s: float | None, make: Callable[..., Operation[T]], *args: Any) -> Operation[T]:
    if timeout_s is None:
        return make(*args)
    patience = Patience(duration(timeout_s))
    return patience.limit(make(*args))


class Event(pollers.Unique):
    """A flag that threads wait for. It is not set at first."""

    __slots__ = ("_line", "_set")

    def __init__(self) -> None:
        self._set = False
        self._line = Line()

    def is_set(self) -> bool:
        """Whether the flag is set, so that wait() returns at once."""
        return self._set

    def set(self) -> None:
        """Set the flag and wake all waiting threads. Any OS thread and any signal handler may call this."""
        self._set = True
        try:
            if not leave_to_loop(self._wake):
                self._wake()
        except BaseException:  # a signal handler raised
            self._wake_later()
            raise

    @locked
    def _wake(self) -> None:
        while self._line.call() is not None:
            pass

    def _wake_later(self) -> None:
        """Post _wake() to the scheduler of each waiting thread."""
        for waiter in [place.waiter for place in self._line.places]:
            if waiter is not None:
                waiter.scheduler.post(self._wake)

    def clear(self) -> None:
        """Clear the flag. Threads that have been woken stay awake."""
        self._set = False

    def wait(self, timeout_s: float | None = None) -> Operation[None]:
        """Wait until the flag is set. Raises TimeoutError after `timeout_s` seconds; None: no limit.

        It returns even if the flag is cleared again before this thread runs. Raises ValueError if `timeout_s` is
        negative or NaN.
        """
        return _within(timeout_s, self._wait)

    @operation
    def _wait(self) -> Generator[Any, None, None]:
        if not self._set:
            place = Place("event")
            self._line.add(place)
            if self._set:  # a signal handler has just set it
                self._line.call()
            yield from self._line.stay(place)
        elif (turn := over_at_once()) is not None:
            yield from turn.wait()

    def __repr__(self) -> str:
        return f"<Event, {'set' if self._set else f'{len(self._line)} waiting'}>"


class _Held:
    """The result of acquire(): a block that releases the permit at its end."""

    __slots__ = ("_held",)

    def __init__(self, held: Semaphore) -> None:
        self._held = held

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._held.release()


class Semaphore(pollers.Unique):
    """A number of permits, `value` at first. A thread that acquires one when there is none waits for a release.

    `with (yield from semaphore.acquire()):` or `async with semaphore:` releases the permit at the end of the block.
    Raises ValueError if `value` is negative.
    """

    __slots__ = ("_free", "_line")

    def __init__(self, value: int) -> None:
        if operator.index(value) < 0:
            raise ValueError(f"the value of a semaphore must not be negative, but it is {value!r}")
        self._free = value
        self._line = Line()

    def acquire(self, timeout_s: float | None = None) -> Operation[_Held]:
        """Take a permit, or wait for one. Return a context manager that releases it at the end of a `with` block.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation no permit has
        been taken. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return _within(timeout_s, self._acquire)

    @operation
    def _acquire(self) -> Generator[Any, None, _Held]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        held = _Held(self)  # made first: if a signal handler raises here, no permit is lost
        place = self._enter()
        if place is not None:
            yield from self._line.stay(place, lambda _: self._release())
        return held

    def release(self) -> None:
        """Release a permit, or add a new one. The first waiting thread gets it. A signal handler may call this."""
        if not leave_to_loop(self._release):
            self._release()

    def _enter(self) -> Place | None:
        """Take a permit and return None, or return a place in the line if there is none."""
        taken = False
        try:
            with lock:
                if self._free:
                    self._free -= 1
                    taken = True
                    return None
                place = Place(type(self).__name__.lower())
                self._line.add(place)
                return place
        except BaseException:  # a signal handler raised
            if taken:
                self._release()
            raise

    def _release(self) -> None:
        with lock:
            if not self._line.places or self._line.call() is None:
                self._free += 1

    @operation
    def __aenter__(self) -> Generator[Any, None, None]:
        yield from self.acquire()

    @operation
    def __aexit__(self, *_: object) -> Generator[Any, None, None]:
        self.release()
        yield from ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {self._free} free, {len(self._line)} waiting>"


class Lock(Semaphore):
    """A lock that one thread at a time holds. Other threads wait for it in the order of their arrival.

    `with (yield from lock.acquire()):` or `async with lock:` releases the lock at the end of the block. acquire()
    raises RuntimeError in the thread that already holds the lock.
    """

    __slots__ = ("_holder",)

    def __init__(self) -> None:
        super().__init__(1)
        self._holder: Thread[object] | None = None

    def locked(self) -> bool:
        """Whether a thread holds the lock, so that acquire() would wait."""
        return not self._free

    @operation
    def _acquire(self) -> Generator[Any, None, _Held]:
        me = currentthread()
        if self._holder is me:
            raise RuntimeError(f"{me.name!r} already holds this lock, and would wait for itself for ever")
        del me  # the traceback of a cancellation has this frame: avoid a cycle
        held = yield from super()._acquire()
        try:
            self._holder = currentthread()
        except BaseException:  # a signal handler raised
            self._release()
            raise
        return held

    def release(self) -> None:
        """Release the lock. The first waiting thread gets it. Raises RuntimeError in a thread that does not hold it."""
        if self._holder is None or self._holder is not currentthread():
            raise RuntimeError(f"only the thread that holds a lock can release it; the holder is {self._holder!r}")
        self._holder = None
        self._release()


class Queue(pollers.Unique, Generic[T]):
    """A queue that passes items from threads that put() them to threads that get() them, first in, first out.

    `size` is the number of items that fit in before put() waits. None means no limit. With 0, put() waits until another
    thread gets the item. `async for item in queue` gets items until the queue is closed and empty. Raises ValueError if
    `size` is negative.
    """

    __slots__ = ("_closed", "_getters", "_items", "_putters", "_size")

    def __init__(self, size: int | None = None) -> None:
        if size is not None and operator.index(size) < 0:
            raise ValueError(f"the size of a queue must not be negative, but it is {size!r}")
        self._size = size
        self._items: deque[T] = deque()
        self._getters = Line()
        self._putters = Line()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout_s: float | None = None) -> Operation[None]:
        """Put an item in, or wait until there is room. Raises Closed if the queue is closed.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation the item is not
        in the queue. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return _within(timeout_s, self._put, item)

    def get(self, timeout_s: float | None = None) -> Operation[T]:
        """Take out the first item, or wait for one, and return it. Raises Closed if the queue is closed and empty.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation no item has been
        taken out. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return _within(timeout_s, self._get)

    def put_nowait(self, item: T) -> None:
        """Put an item in without waiting. Raises queue.Full if there is no room; Closed if the queue is closed."""
        self._offer(item, False)

    def get_nowait(self) -> T:
        """Take out the first item without waiting, and return it.

        Raises queue.Empty if there is none; Closed if the queue is closed as well.
        """
        item: T = self._take(False)
        return item

    @locked
    def close(self) -> None:
        """Close the queue. Every waiting thread and every later put() gets Closed.

        Items in the queue can still be taken out. A second close() does nothing.
        """
        self._closed = True
        self._getters.dissolve(_closed)
        self._putters.dissolve(_closed)

    @operation
    def _put(self, item: T) -> Generator[Any, None, None]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._offer(item, True)
        if place is not None:
            yield from self._putters.stay(place)

    @operation
    def _get(self) -> Generator[Any, None, T]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        got = self._take(True)
        item: T = (yield from self._getters.stay(got, self._take_back)) if type(got) is Place else got
        return item

    def _offer(self, item: T, wait: bool) -> Place | None:
        """Give the item to a waiting thread, or put it in, and return None.

        If there is no room, return a place to wait at, or raise Full unless `wait`.
        """
        with lock:
            if self._closed:
                raise _closed()
            if self._getters.places and self._getters.call(item) is not None:
                return None
            if self._size is None or len(self._items) < self._size:
                self._items.append(item)
                return None
            if not wait:
                raise queue.Full
            place = Place("room in a queue", item)
            self._putters.add(place)
            return place

    def _take(self, wait: bool) -> Any:
        """Take out an item and return it, which makes room for another.

        If there is none, return a Place to wait at, or raise Empty unless `wait`.
        """
        with lock:
            if self._putters.places and (putter := self._putters.call()) is not None:
                self._items.append(putter.item)
            if self._items:
                return self._items.popleft()
            if self._closed:
                raise _closed()
            if not wait:
                raise queue.Empty
            place = Place("item of a queue")
            self._getters.add(place)
            return place

    @locked
    def _take_back(self, item: T) -> None:
        """Undo a get: give the item to the next waiting thread, or put it back in front."""
        if self._getters.call(item) is None:
            self._items.appendleft(item)

    def __aiter__(self) -> Queue[T]:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, T]:
        try:
            return (yield from self.get())
        except Closed:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        size = "any number" if self._size is None else self._size
        waiting = f"{len(self._putters)} putting, {len(self._getters)} getting"
        return f"<Queue{' (closed)' * self._closed}, {len(self)} of {size}, {waiting}>"


def _closed() -> Closed:
    return Closed("the queue is closed")
