"""The right to move ciphertext in one direction, or to make the handshake. Whoever does not get it can wait.

One thread sends data and another receives, but each may have to do the other's work: a receive may have an answer to
send. This module knows threads. It must not know how ciphertext is moved.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import Any

from pollers import operation

from ..threads.wait import Wait


class Lane:
    """One thread at a time holds it, also while it waits for the stream below."""

    __slots__ = ("_lock", "_purpose", "_waiting")

    def __init__(self, purpose: str) -> None:
        self._lock = threading.Lock()  # acquired without waiting
        self._purpose = purpose
        self._waiting: deque[Wait] | None = None

    def take_if_free(self) -> bool:
        return self._lock.acquire(False)

    def give(self) -> None:
        """Give it back, and wake all that wait for it."""
        self._lock.release()
        while self._waiting:
            self._waiting.popleft().finish()

    @operation
    def changed(self) -> Generator[Any, None, None]:
        """Wait until its holder gives it back, or has just done so."""
        if self._waiting is None:
            self._waiting = deque()
        wait = Wait(self._purpose)
        self._waiting.append(wait)
        if self._lock.acquire(False):  # otherwise the holder sees this wait
            self.give()
        yield from wait.wait()

    @operation
    def take(self) -> Generator[Any, None, None]:
        """Wait for it and take it. A cancellation leaves it with its holder."""
        while not self.take_if_free():
            yield from self.changed()
