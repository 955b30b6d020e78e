"""The listening sockets of worker processes, which outlast them: a worker inherits those of its place and no others."""

from __future__ import annotations

from collections.abc import Sequence

from ..sockets.address import AddressList, Query
from ..sockets.tcp import TCP
from .listeners import bind, listen


class Places:
    """Listeners by the number of a worker: some for each, on the same addresses (SO_REUSEPORT), or the same for all."""

    def __init__(self, first: Sequence[TCP], count: int, backlog: int | None, *, handed_on: bool = True) -> None:
        """`first`: listen already; for a `count` of 0, they are for all. OSError.

        `handed_on`: nobody else has them, so what waits there at the very end is for the workers.
        """
        self.handed_on = handed_on
        self._backlog = backlog
        self._all = list(first) if not count else []
        self._each: list[list[TCP]] = [list(first), *([] for _ in range(count - 1))] if count else []
        # From their numeric addresses, with the port that was found.
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
        """Listen for a worker, unless there is one that does. OSError."""
        if self._each and not self._each[number]:
            self._each[number] = listen(bind([self._addresses], True), self._backlog)

    def close(self, number: int) -> None:
        """Nobody is there to serve who comes. The same for all stay."""
        if self._each:
            for sock in self._each[number]:
                sock.close()
            self._each[number] = []

    def hand_over(self, number: int) -> None:
        """Leave them to the workers that have them."""
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
        """In a worker: what is its, and the others closed."""
        kept = self.of(number)
        for socks in self._each:
            for sock in socks if socks is not kept else ():
                sock.close()
        return kept
