"""Queues: items pass from threads that put() them to threads that get() them."""

from __future__ import annotations

import operator
import queue
from collections.abc import Generator
from typing import Any, Generic, TypeVar

import pollers
from pollers import Closed, Operation, operation

from .deadline import within
from .exchange import Exchange
from .line import WouldBlock
from .lock import locked
from .sorting import SortingExchange

T = TypeVar("T")


class Queue(pollers.Unique, Generic[T]):
    """A queue that passes items from threads that put() them to threads that get() them, first in, first out.

    `size` is the number of items that fit in before put() waits. None means no limit. With 0, put() waits until another
    thread gets the item. `async for item in queue` gets items until the queue is closed and empty. An empty queue is
    true. Raises ValueError if `size` is negative.
    """

    __slots__ = ("_exchange",)
    _size_min = 0

    def __init__(self, size: int | None = None) -> None:
        self._exchange = self._make_exchange(checked_size(size, "a queue", self._size_min))

    def _make_exchange(self, size: int | None) -> Exchange[T]:
        return Exchange(size, "queue")

    def __len__(self) -> int:
        return len(self._exchange)

    def __bool__(self) -> bool:
        return True

    def put(self, item: T, timeout_s: float | None = None) -> Operation[None]:
        """Put an item in, or wait until there is room. Raises Closed if the queue is closed.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation the item is not
        in the queue. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return within(timeout_s, self._exchange.put, item)

    def get(self, timeout_s: float | None = None) -> Operation[T]:
        """Take out the first item, or wait for one, and return it. Raises Closed if the queue is closed and empty.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation no item has been
        taken out. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return within(timeout_s, self._exchange.get)

    def put_nowait(self, item: T) -> None:
        """Put an item in without waiting. Raises queue.Full if there is no room; Closed if the queue is closed."""
        try:
            self._exchange.put_nowait(item)
        except WouldBlock:
            raise queue.Full from None

    def get_nowait(self) -> T:
        """Take out the first item without waiting, and return it.

        Raises queue.Empty if there is none; Closed if the queue is closed as well.
        """
        try:
            return self._exchange.get_nowait()
        except WouldBlock:
            raise queue.Empty from None

    @locked
    def close(self) -> None:
        """Close the queue. Every waiting thread and every later put() gets Closed.

        Items in the queue can still be taken out. A second close() does nothing.
        """
        self._exchange.no_get = self._exchange.no_put = _closed
        self._exchange.getters.dissolve(_closed)
        self._exchange.putters.dissolve(_closed)

    def __aiter__(self) -> Queue[T]:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, T]:
        try:
            return (yield from self.get())
        except Closed:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        state = " (closed)" * (self._exchange.no_put is not None)
        waiting = f"{len(self._exchange.putters)} putting, {len(self._exchange.getters)} getting"
        return f"<{type(self).__name__}{state}, {text_of_content(self._exchange)}, {waiting}>"


class PriorityQueue(Queue[T]):
    """A queue whose smallest item comes out first. Equal items come out in the order in which they were put in.

    Use tuples to give items a priority: `(priority, item)`. Items are compared with `<` only. put() and put_nowait()
    raise the error of a comparison that fails, TypeError for example, and the item is then not in the queue. Threads
    that wait for room get it in the order of their arrival. Raises ValueError if `size` is less than 1.
    (queue.PriorityQueue)
    """

    __slots__ = ()
    _size_min = 1

    def _make_exchange(self, size: int | None) -> Exchange[T]:
        return SortingExchange(size, "priority queue")


def checked_size(size: int | None, of: str, size_min: int = 0) -> int | None:
    """Return the size of a queue. Raises ValueError if it is less than `size_min`, TypeError if it is no integer."""
    if size is not None and operator.index(size) < size_min:
        wrong = f"must be at least {size_min}" if size_min else "must not be negative"
        raise ValueError(f"the size of {of} {wrong}, but it is {size!r}")
    return None if size is None else operator.index(size)


def text_of_content(exchange: Exchange[Any]) -> str:
    """Return how many items there are, and how many fit in, for a repr()."""
    return f"{len(exchange)} of {'any number' if exchange.size is None else exchange.size}"


def _closed() -> Closed:
    return Closed("the queue is closed")
