"""An exchange whose smallest item comes out first. Among equal items the one that was put in first comes out first.

Items are compared by the program's code, which must not run under the lock. So a thread that puts an item in reserves
room, looks for the item's place without the lock, and looks again if the items have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from pollers import operation

from .exchange import End, Exchange
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
        self._reserved: dict[Place, None] = {}  # of threads that have room for an item and have not put it in yet

    def __len__(self) -> int:
        return len(self._sorted) + len(self.items)

    @operation
    def put(self, item: T, end: End | None = None) -> Generator[Any, None, None]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._place()
        try:
            if not self._reserve(place, True):
                yield from self.putters.stay(place)
            self._put_in(item, place)
        except BaseException:
            self._give_up(place)
            raise

    def put_nowait(self, item: T, end: End | None = None) -> None:
        place = self._place()
        try:
            self._reserve(place, False)
            self._put_in(item, place)
        except BaseException:
            self._give_up(place)
            raise

    def _take(self, wait: bool, end: End | None) -> Any:
        with lock:
            if not self.items and not self._sorted:
                if self.no_get is not None:
                    raise self.no_get()
                return self.line_up(self.getters, wait, Place(f"item of a {self.kind}"))
            item = self.items.popleft() if self.items else self._sorted.pop()
            self._changes += 1
            self._offer_room()
            return item

    def _place(self) -> Place:
        return Place(f"room in a {self.kind}")

    def _reserve(self, place: Place, wait: bool) -> bool:
        """Reserve room for an item. If there is none, wait at `place` and return False, or raise WouldBlock."""
        with lock:
            if self.no_put is not None:
                raise self.no_put()
            if self._has_room():
                self._reserved[place] = None
                return True
            self.line_up(self.putters, wait, place)
            return False

    def _has_room(self) -> bool:
        return self.size is None or len(self) + len(self._reserved) < self.size

    def _give_up(self, place: Place) -> None:
        """Give the room back. If the item is in, or no room was reserved, this does nothing."""
        try:
            with lock:
                self._reserved.pop(place, None)
                self._offer_room()
        except BaseException:  # a signal handler raised
            self._reserved.pop(place, None)
            self._offer_room()
            raise

    @locked
    def _offer_room(self) -> None:
        """Reserve the free room for the threads that wait for it."""
        while self.putters.places and self._has_room() and (place := self.putters.first()) is not None:
            self._reserved[place] = None
            try:
                place.finish()
            finally:
                if not place.finished:
                    del self._reserved[place]

    def _put_in(self, item: T, place: Place) -> None:
        while not self._insert(item, place, *self._find(item)):
            pass

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

    def _insert(self, item: T, place: Place, at: int, changes: int) -> bool:
        """Put the item in, or give it to a thread that waits for it. Return False if `at` is not valid any more."""
        with lock:
            if self._changes != changes:
                return False
            if self.no_put is not None:
                raise self.no_put()
            if self.getters.places and self.getters.call(item) is not None:
                del self._reserved[place]
                self._offer_room()
                return True
            self._sorted[at:at] = [item]
            self._changes += 1
            del self._reserved[place]
            return True
