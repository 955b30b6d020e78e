"""A line of waiting threads: first come, first served. Events, locks, queues and channels are made of lines.

A waiter that is woken owns what it is woken with. A later cancellation does not take that away. A waiter that is
cancelled first has left the line, and is given nothing. State is changed under the lock, in short functions that do not
wait.

Knows waits. Must not know what the threads wait for. A thread may leave from the middle of a line, so a line is an
OrderedDict: that takes constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from typing import Any

from pollers import operation

from .lock import locked
from .wait import Wait


class WouldBlock(Exception):
    """A call whose name ends in `_nowait` would have to wait. Nothing has changed. (trio's WouldBlock)"""


class Place(Wait):
    """A place in a line. Another thread ends this wait.

    `item` is what the waiting thread puts into a queue. `end` is the end of a channel that it uses.
    """

    __slots__ = ("end", "item")
    hopeless = True

    def __init__(self, purpose: str, item: Any = None, end: Any = None) -> None:
        super().__init__(purpose)
        self.item = item
        self.end = end


class Line:
    """The places of waiting threads, in the order of their arrival. Any place can leave in constant time."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: OrderedDict[Place, None] = OrderedDict()

    def __len__(self) -> int:
        return sum(not place.done for place in list(self.places))  # another OS thread may change them

    @locked
    def add(self, place: Place) -> None:
        self.places[place] = None

    @locked
    def first(self) -> Place | None:
        """Return the first place whose thread still waits, or None if there is none."""
        while self.places:
            place = next(iter(self.places))
            if not place.done:
                return place
            del self.places[place]
        return None

    @locked
    def call(self, result: Any = None) -> Place | None:
        """Wake the first thread that still waits, and give it `result`. Return its place, or None if there is none."""
        while self.places:
            place = next(iter(self.places))
            woken = place.finish(result)  # if this raises, for lack of stack, the place is kept
            del self.places[place]
            if woken:
                return place
        return None

    @locked
    def dissolve(self, error: Callable[[], BaseException], end: Any = None) -> None:
        """Wake all waiting threads, or those that use this `end`. Each gets an error of its own."""
        for place in list(self.places):
            if end is None or place.end is end:
                if place.fail(error()):
                    place.finished = False  # it was woken with nothing to undo
                del self.places[place]

    @operation
    def stay(self, place: Place, undo: Callable[[Any], None] | None = None) -> Generator[Any, None, Any]:
        """Wait at `place`, which add() has put into the line. Return what call() wakes it with.

        If the wait raises although the place was woken, call `undo` with what it was woken with.
        """
        try:
            return (yield from place.wait())
        except BaseException:
            self.leave(place, undo)
            raise

    @locked
    def leave(self, place: Place, undo: Callable[[Any], None] | None = None) -> None:
        """Leave the line after an error. If the place was woken all the same, call `undo` with what it was given."""
        self.places.pop(place, None)
        if place.finished and place.error is None and undo is not None:
            undo(place.result)
