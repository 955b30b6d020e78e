"""The right to move ciphertext in one direction, or to make the handshake. Whoever does not get it can wait.

One thread sends data and another receives, but each may have to do the other's work: a receive may have an answer to
send. This module knows threads. It must not know how ciphertext is moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from pollers import operation

from ..threads.wait import Wait


class Lane:
    """One thread at a time holds it, also while it waits for the stream below.

    `lane.free.append(None)` and `lane.wake()` give it back, in the `finally` of a `try` block that follows at once: see
    streams.claim.
    """

    __slots__ = ("_purpose", "_waiting", "free")

    def __init__(self, purpose: str) -> None:
        self.free = [None]  # empty while it is taken
        self._purpose = purpose
        self._waiting: deque[Wait] | None = None

    def take_if_free(self) -> bool:
        try:
            del self.free[0]
        except IndexError:
            return False
        return True

    def wake(self) -> None:
        """Wake all that wait for it."""
        with suppress(IndexError):  # another OS thread may have been faster
            while self._waiting:
                self._waiting.popleft().finish()

    @operation
    def changed(self) -> Generator[Any, None, None]:
        """Wait until its holder gives it back, or has just done so."""
        if self._waiting is None:
            self._waiting = deque()
        wait = Wait(self._purpose)
        self._waiting.append(wait)
        if self.free:  # otherwise the holder sees this wait
            self.wake()
        yield from wait.wait()

    @operation
    def take(self) -> Generator[Any, None, None]:
        """Wait for it and take it. A cancellation leaves it with its holder."""
        while not self.take_if_free():
            yield from self.changed()
