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
    """The operation whose turn it is, and the line of those that wait for their turn.

    If a signal handler raises in the middle of a step, the step can be repeated.
    """

    __slots__ = ("_current", "_line")

    def __init__(self) -> None:
        self._current: Operation[Any] | None = None
        self._line: OrderedDict[Operation[Any], Wait] = OrderedDict()  # leaving takes constant time

    @operation
    def through(self, purpose: str, inner: Operation[T]) -> Generator[Any, None, T]:
        """Wait for the turn, run `inner`, and end the turn. Return the result of `inner`.

        A cancellation while it waits gives up the place in the line.
        """
        begun = False
        try:
            wait = self._enter(purpose, inner)
            if wait is not None:
                yield from wait.wait()
            begun = True
            return (yield from inner)
        finally:
            try:
                self._leave(inner)
            except BaseException:  # a signal handler raised
                self._leave(inner)
                raise
            if not begun:
                inner.close()

    def _enter(self, purpose: str, inner: Operation[Any]) -> Wait | None:
        """Take the turn and return None, or return the wait for it."""
        with lock:
            if self._current is None:
                self._current = inner
                return None
            wait = self._line[inner] = Wait(purpose)
            return wait

    def _leave(self, inner: Operation[Any]) -> None:
        """Leave the line. If `inner` has the turn, the first operation whose thread still waits gets it."""
        with lock:
            self._line.pop(inner, None)
            if self._current is not inner:
                return
            while True:
                if not self._line:
                    self._current = None
                    return
                following, wait = next(iter(self._line.items()))
                if wait.finish() or wait.finished:
                    self._current = following
                    del self._line[following]
                    return
                del self._line[following]
