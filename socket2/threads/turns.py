"""Turns: threads do something one at a time, in the order of their arrival.

Sockets use this to accept and to receive datagrams. Knows waits. Must not know what the threads do in their turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import Any, TypeVar

from pollers import Operation, operation

from .lock import lock
from .wait import Wait

T = TypeVar("T")


class Turns:
    """The turn that one thread has, and the line of threads that wait for it."""

    __slots__ = ("_line", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._line: OrderedDict[Wait, None] = OrderedDict()  # a thread leaves in constant time

    @operation
    def take(self, purpose: str) -> Generator[Any, None, None]:
        """Wait for the turn, and take it. A cancellation gives up the place in the line."""
        with lock:
            if not self._taken:
                self._taken = True
                return
            wait = Wait(purpose)
            self._line[wait] = None
        try:
            yield from wait.wait()
        except BaseException:
            with lock:
                if wait in self._line:
                    del self._line[wait]
                elif wait.finished:
                    self.give()  # the thread got the turn, and then its wait raised all the same
            raise

    def give(self) -> None:
        """End the turn. The first thread that still waits gets the next one."""
        with lock:
            while True:
                if not self._line:
                    self._taken = False
                    return
                wait = next(iter(self._line))
                given = wait.finish()
                del self._line[wait]
                if given:
                    return

    @operation
    def through(self, purpose: str, inner: Operation[T]) -> Generator[Any, None, T]:
        """Wait for the turn, run `inner`, and end the turn. Return the result of `inner`."""
        try:
            yield from self.take(purpose)
        except BaseException:
            inner.close()
            raise
        try:
            return (yield from inner)
        finally:
            self.give()
