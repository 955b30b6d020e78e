"""What threads of one scheduler wait for each other with: events, locks, semaphores, queues. First come, first served.

What a waiter is woken with is its own from then on: cancelled later, it has it all the same; cancelled before, it has
left the line and nobody passes it anything. State changes in short functions without a wait, under the lock.
"""

from __future__ import annotations

import operator
import queue
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

import pollers
from pollers import Closed, Operation, operation

from .deadline import Patience
from .lock import lock
from .scheduler import leave_to_loop
from .thread import Thread, currentthread, over_at_once
from .timers import duration
from .wait import Wait

P = ParamSpec("P")
T = TypeVar("T")


def _locked(func: Callable[P, T]) -> Callable[P, T]:
    """A change of state, which other OS threads see all of or nothing."""

    @wraps(func)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return func(*args, **kwargs)

    return locked


class _Place(Wait):
    """A place in a line, to be called up by another thread. `item` is what its thread brings."""

    __slots__ = ("item",)
    hopeless = True

    def __init__(self, purpose: str, item: Any = None) -> None:
        super().__init__(purpose)
        self.item = item


class _Line:
    """Those who wait, in the order they came. Any of them may leave, in constant time."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: OrderedDict[_Place, None] = OrderedDict()

    def __len__(self) -> int:
        return sum(not place.done for place in self.places)

    @_locked
    def add(self, place: _Place) -> None:
        self.places[place] = None

    @_locked
    def call(self, result: Any = None) -> _Place | None:
        """Wake the first who still waits; return its place."""
        while self.places:
            place = next(iter(self.places))
            woken = place.finish(result)  # where the stack ends, this raises, and the place is kept
            del self.places[place]
            if woken:
                return place
        return None

    @_locked
    def dissolve(self, error: Callable[[], BaseException]) -> None:
        while self.places:
            place, _ = self.places.popitem(last=False)
            if place.fail(error()):
                place.finished = False  # it was woken with nothing that could be undone

    @operation
    def stay(self, place: _Place, undo: Callable[[Any], None] | None = None) -> Generator[Any, None, Any]:
        """Wait at a place that was added. `undo` what it was woken with, if its thread is thrown out all the same."""
        try:
            return (yield from place.wait())
        except BaseException:
            with lock:
                self.places.pop(place, None)
                if place.finished and place.error is None and undo is not None:
                    undo(place.result)
            raise


def _within(timeout_s: float | None, make: Callable[..., Operation[T]], *args: Any) -> Operation[T]:
    if timeout_s is None:
        return make(*args)
    patience = Patience(duration(timeout_s))
    return patience.limit(make(*args))


class Event(pollers.Unique):
    """A flag that threads wait for, not set at first."""

    __slots__ = ("_line", "_set")

    def __init__(self) -> None:
        self._set = False
        self._line = _Line()

    def is_set(self) -> bool:
        """Whether wait() returns at once."""
        return self._set

    def set(self) -> None:
        """Set the flag and wake all who wait. A signal handler may do that, too."""
        self._set = True
        if not leave_to_loop(self._wake):
            self._wake()

    @_locked
    def _wake(self) -> None:
        while self._line.call() is not None:
            pass

    def clear(self) -> None:
        """Take the flag back. Those who have been woken stay awake."""
        self._set = False

    def wait(self, timeout_s: float | None = None) -> Operation[None]:
        """Wait until the flag is set; return at once if it is. TimeoutError after `timeout_s` seconds.

        Returns also when the flag was set and has been taken back before this thread's turn came.
        """
        return _within(timeout_s, self._wait)

    @operation
    def _wait(self) -> Generator[Any, None, None]:
        if not self._set:
            place = _Place("event")
            self._line.add(place)
            if self._set:  # by a signal handler just now
                self._line.call()
            yield from self._line.stay(place)
        elif (turn := over_at_once()) is not None:
            yield from turn.wait()

    def __repr__(self) -> str:
        return f"<Event, {'set' if self._set else f'{len(self._line)} waiting'}>"


class _Held:
    """What acquire() returns: a block that releases at its end."""

    __slots__ = ("_held",)

    def __init__(self, held: Semaphore) -> None:
        self._held = held

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._held.release()


class Semaphore(pollers.Unique):
    """`value` permits: who acquires one when there is none waits until somebody releases one.

    `with (yield from semaphore.acquire()):` or `async with semaphore:` releases at the end of the block. ValueError for
    less than 0 permits.
    """

    __slots__ = ("_free", "_line")

    def __init__(self, value: int) -> None:
        if operator.index(value) < 0:
            raise ValueError(f"a semaphore has 0 permits or more, not {value!r}")
        self._free = value
        self._line = _Line()

    def acquire(self, timeout_s: float | None = None) -> Operation[_Held]:
        """Take a permit; return a block at whose end it is released. TimeoutError after `timeout_s` seconds.

        Cancelled or out of time: none was taken.
        """
        return _within(timeout_s, self._acquire)

    @operation
    def _acquire(self) -> Generator[Any, None, _Held]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._enter()
        if place is not None:
            yield from self._line.stay(place, lambda _: self._release())
        return _Held(self)

    def release(self) -> None:
        """Give a permit back, or a new one. The first in the line gets it."""
        if not leave_to_loop(self._release):
            self._release()

    def _enter(self) -> _Place | None:
        """Take a permit, or else a place in the line."""
        with lock:
            if self._free:
                self._free -= 1
                return None
            place = _Place(type(self).__name__.lower())
            self._line.add(place)
            return place

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
    """Held by one thread at a time; the others wait in line for it. A block as a Semaphore is.

    RuntimeError for a thread that would acquire the lock that it holds.
    """

    __slots__ = ("_holder",)

    def __init__(self) -> None:
        super().__init__(1)
        self._holder: Thread | None = None

    def locked(self) -> bool:
        """Whether an acquire() would have to wait."""
        return not self._free

    @operation
    def _acquire(self) -> Generator[Any, None, _Held]:
        me = currentthread()
        if self._holder is me:
            raise RuntimeError(f"{me.name!r} holds this lock already, and would wait for itself for ever")
        del me  # who is cancelled here has an error with this frame: no cycle
        held = yield from super()._acquire()
        self._holder = currentthread()
        return held

    def release(self) -> None:
        """Hand the lock to the first in the line. RuntimeError in a thread that does not hold it."""
        if self._holder is None or self._holder is not currentthread():
            raise RuntimeError(f"only the thread that holds a lock can release it, and that is {self._holder!r}")
        self._holder = None
        self._release()


class Queue(pollers.Unique, Generic[T]):
    """Items from the threads that put to the threads that get, in order.

    `size`: how many may lie in it before put() has to wait; None: any number; 0: put() waits for the one who gets.
    `async for item in queue` gets until it is closed and empty.
    """

    __slots__ = ("_closed", "_getters", "_items", "_putters", "_size")

    def __init__(self, size: int | None = None) -> None:
        if size is not None and operator.index(size) < 0:
            raise ValueError(f"a queue has room for 0 items or more, not {size!r}")
        self._size = size
        self._items: deque[T] = deque()
        self._getters = _Line()
        self._putters = _Line()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout_s: float | None = None) -> Operation[None]:
        """Put an item in, when there is room. TimeoutError after `timeout_s` seconds; Closed.

        Cancelled or out of time: the item is not in.
        """
        return _within(timeout_s, self._put, item)

    def get(self, timeout_s: float | None = None) -> Operation[T]:
        """Take the first item, when there is one. TimeoutError after `timeout_s` seconds; Closed when it is empty, too.

        Cancelled or out of time: no item was taken.
        """
        return _within(timeout_s, self._get)

    def put_nowait(self, item: T) -> None:
        """Put an item in now. queue.Full when there is no room; Closed."""
        self._offer(item, False)

    def get_nowait(self) -> T:
        """Take the first item now. queue.Empty when there is none; Closed when it is closed as well."""
        item: T = self._take(False)
        return item

    @_locked
    def close(self) -> None:
        """Put nothing in any more: whoever waits gets Closed. What is in can still be got. May be done twice."""
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
        item: T = (yield from self._getters.stay(got, self._take_back)) if type(got) is _Place else got
        return item

    def _offer(self, item: T, wait: bool) -> _Place | None:
        """Give the item to who waits for one, or put it in; else `wait` at the place returned, or raise Full."""
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
            place = _Place("room in a queue", item)
            self._putters.add(place)
            return place

    def _take(self, wait: bool) -> Any:
        """Take an item out, which makes room for another; else `wait` at the _Place returned, or raise Empty."""
        with lock:
            if self._putters.places and (putter := self._putters.call()) is not None:
                self._items.append(putter.item)
            if self._items:
                return self._items.popleft()
            if self._closed:
                raise _closed()
            if not wait:
                raise queue.Empty
            place = _Place("item of a queue")
            self._getters.add(place)
            return place

    @_locked
    def _take_back(self, item: T) -> None:
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
