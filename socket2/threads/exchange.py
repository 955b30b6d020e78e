"""Items on their way from threads that put them to threads that get them. Queues and channels are made of this.

Must not know why nothing can be put or got any more: its owner says that, with an error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

from pollers import Closed, operation

from .line import Line, Place, WouldBlock
from .lock import lock, locked
from .thread import over_at_once

T = TypeVar("T")

madehook: Callable[[Exchange[Any]], Any] | None = None
"""Called with each new Exchange. Debugging sets it."""


class End(Protocol):
    """What this module knows of an end of a channel."""

    def _check_open(self) -> None:
        """Raise Closed if this end is closed."""


class Exchange(Generic[T]):
    """Items, and the lines of the threads that wait for room or for an item. They come out in the order of their put().

    `size` is the number of items that fit in; None: no limit; 0: put() waits for a get(). `kind` appears in listings.
    Whoever puts or gets through an `end` of a channel gets Closed if that is closed.
    """

    __slots__ = ("__weakref__", "getters", "items", "kind", "no_get", "no_put", "putters", "size")

    def __init__(self, size: int | None, kind: str) -> None:
        self.size = size
        self.kind = kind
        self.items: deque[T] = deque()
        self.getters = Line()
        self.putters = Line()
        self.no_put: Callable[[], Closed] | None = None  # the error of each put()
        self.no_get: Callable[[], Closed] | None = None  # the error of a get() when no item is left
        if madehook is not None:
            madehook(self)

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        return True

    @operation
    def put(self, item: T, end: End | None = None) -> Generator[Any, None, None]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._offer(item, True, end)
        if place is not None:
            yield from self.putters.stay(place)

    @operation
    def get(self, end: End | None = None) -> Generator[Any, None, T]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        got = self._take(True, end)
        item: T = (yield from self.getters.stay(got, self.take_back)) if type(got) is Place else got
        return item

    def put_nowait(self, item: T, end: End | None = None) -> None:
        """Raises WouldBlock if put() would wait."""
        self._offer(item, False, end)

    def get_nowait(self, end: End | None = None) -> T:
        """Raises WouldBlock if get() would wait."""
        item: T = self._take(False, end)
        return item

    def _offer(self, item: T, wait: bool, end: End | None) -> Place | None:
        """Give the item to a waiting thread, or put it in, and return None.

        If there is no room, return a place to wait at, or raise WouldBlock unless `wait`.
        """
        with lock:
            if end is not None:
                end._check_open()
            if self.no_put is not None:
                raise self.no_put()
            if self.getters.places and self.getters.call(item) is not None:
                return None
            if self.size is None or len(self.items) < self.size:
                self.items.append(item)
                return None
            return self.line_up(self.putters, wait, Place(f"room in a {self.kind}", item, end))

    def _take(self, wait: bool, end: End | None) -> Any:
        """Take out an item and return it, which makes room for another.

        If there is none, return a Place to wait at, or raise WouldBlock unless `wait`.
        """
        with lock:
            if end is not None:
                end._check_open()
            if self.putters.places and self._has_room_for_one_more() and (putter := self.putters.call()) is not None:
                self.items.append(putter.item)
            if self.items:
                return self.items.popleft()
            if self.no_get is not None:
                raise self.no_get()
            return self.line_up(self.getters, wait, Place(f"item of a {self.kind}", None, end))

    def _has_room_for_one_more(self) -> bool:
        """Whether a putter's item fits in when one is taken out. After take_back() there may be too many items."""
        return self.size is None or len(self.items) <= self.size

    def line_up(self, line: Line, wait: bool, place: Place) -> Place:
        if not wait:
            raise WouldBlock(f"there is no {place.purpose}")
        line.add(place)
        return place

    @locked
    def take_back(self, item: T) -> None:
        """Undo a get: give the item to the next waiting thread, or put it back in front."""
        if self.getters.call(item) is None:
            self.items.appendleft(item)
