"""The listening sockets of worker processes. They outlast a worker: its successor inherits those of its number."""

from __future__ import annotations

from collections.abc import Sequence

from ..sockets.address import AddressList, Query
from ..sockets.paths import PathRules
from ..sockets.tcp import TCP
from .listeners import bind, listen


class Places:
    """Listeners by worker number: separate ones on the same addresses (SO_REUSEPORT), or the same for all workers."""

    def __init__(self, first: Sequence[TCP], count: int, backlog: int | None, *, handed_on: bool = True) -> None:
        """`first`: sockets that listen already; if `count` is 0, all workers share them. Raises OSError.

        `handed_on`: nobody else has the sockets, so the workers serve what is left in their queues at the end.
        """
        self.handed_on = handed_on
        self._backlog = backlog
        self._all = list(first) if not count else []
        self._each: list[list[TCP]] = [list(first), *([] for _ in range(count - 1))] if count else []
        # From the numeric addresses, with the port that the kernel chose.
        queries = [Query(sock.getsockname(), 0, "tcp", sock.family, None, ()) for sock in first] if count else []
        self._addresses = AddressList(address for query in queries for address in query.at_once() or ())
        try:
            for number in range(count):
                self.open(number)
        except BaseException:
            self.close_all()
            raise

    def of(self, number: int) -> list[TCP]:
        return self._each[number] if self._each else self._all

    def open(self, number: int) -> None:
        """Listen for a worker, unless its listeners are open already. Raises OSError."""
        if self._each and not self._each[number]:
            self._each[number] = listen(bind([self._addresses], True, PathRules()), self._backlog)

    def close(self, number: int) -> None:
        """Close the listeners of a worker that is not replaced soon. Listeners that all workers share stay open."""
        if self._each:
            for sock in self._each[number]:
                sock.close()
            self._each[number] = []

    def hand_over(self, number: int) -> None:
        """Close the listeners here, so that only the workers have them."""
        if self._each:
            self.close(number)
        elif self.handed_on:
            self.close_all()

    def close_all(self) -> None:
        for number in range(len(self._each)):
            self.close(number)
        for sock in self._all:
            sock.close()
        self._all = []

    def keep(self, number: int) -> list[TCP]:
        """Return a worker's listeners and close all others. Called in the worker."""
        kept = self.of(number)
        for socks in self._each:
            for sock in socks if socks is not kept else ():
                sock.close()
        return kept
