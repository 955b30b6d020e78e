"""An exchange whose smallest item comes out first. Among equal items the one that was put in first comes out first.

Items are compared by the program's code, which must not run under the lock. So a thread that puts an item in reserves
room, looks for the item's place without the lock, and looks again if the items have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from pollers import operation

from .exchange import Exchange
from .line import Place
from .lock import lock, locked
from .thread import over_at_once

T = TypeVar("T")


class SortingExchange(Exchange[T]):
    """`items` holds those that a get() has given back: they come out first. The others are in `_sorted`.

    `size` must not be 0. A thread that waits for room is woken with a reservation, and puts its item in itself.
    """

    __slots__ = ("_changes", "_reserved", "_sorted")

    def __init__(self, size: int | None, kind: str) -> None:
        super().__init__(size, kind)
        self._sorted: list[Any] = []  # the smallest one is the last
        self._changes = 0
        self._reserved = 0  # how many threads have room for an item that they have not put in yet

    def __len__(self) -> int:
        return len(self._sorted) + len(self.items)

    @operation
    def put(self, item: T, end: Any = None) -> Generator[Any, None, None]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._reserve(True)
        if place is not None:
            yield from self.putters.stay(place, lambda _: self._give_up_room())
        self._put_reserved(item)

    def offer(self, item: T, wait: bool, end: Any = None) -> Place | None:
        place = self._reserve(wait)
        if place is None:
            self._put_reserved(item)
        return place

    def take(self, wait: bool, end: Any = None) -> Any:
        with lock:
            if not self.items and not self._sorted:
                if self.no_get is not None:
                    raise self.no_get()
                return self.line_up(self.getters, wait, Place(f"item of a {self.kind}"))
            item = self.items.popleft() if self.items else self._sorted.pop()
            self._changes += 1
            self._offer_room()
            return item

    def _reserve(self, wait: bool) -> Place | None:
        """Reserve room for an item and return None. If there is none, return a place, or raise WouldBlock."""
        with lock:
            if self.no_put is not None:
                raise self.no_put()
            if self._has_room():
                self._reserved += 1
                return None
            return self.line_up(self.putters, wait, Place(f"room in a {self.kind}"))

    def _has_room(self) -> bool:
        return self.size is None or len(self) + self._reserved < self.size

    def _give_up_room(self) -> None:
        with lock:
            self._reserved -= 1
            self._offer_room()

    @locked
    def _offer_room(self) -> None:
        """Reserve the free room for the threads that wait for it."""
        while self.putters.places and self._has_room():
            if self.putters.call() is None:
                return
            self._reserved += 1

    def _put_reserved(self, item: T) -> None:
        try:
            while not self._insert(item, *self._find(item)):
                pass
        except BaseException:  # the item is not in: it cannot be compared, for example
            self._give_up_room()
            raise

    def _find(self, item: Any) -> tuple[int, int]:
        """Return the index where the item belongs, and the number of the change after which that was true."""
        while True:
            changes, low, high = self._changes, 0, len(self._sorted)
            try:
                while low < high:
                    middle = (low + high) // 2
                    if item < self._sorted[middle]:
                        low = middle + 1
                    else:
                        high = middle
                return low, changes
            except IndexError:
                if changes == self._changes:
                    raise

    def _insert(self, item: T, at: int, changes: int) -> bool:
        """Put the item in, or give it to a thread that waits for it. Return False if `at` is not valid any more."""
        with lock:
            if self._changes != changes:
                return False
            if self.no_put is not None:
                raise self.no_put()
            if self.getters.places and self.getters.call(item) is not None:
                self._give_up_room()
                return True
            self._sorted[at:at] = [item]
            self._changes += 1
            self._reserved -= 1
            return True
