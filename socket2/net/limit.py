"""How much data may be queued for a peer that does not read.

A limit set by the program is strict. The default limit is lenient: a program may write a lot at once, and the peer may
be slow. It ends a connection only if the program keeps writing while earlier data has not been sent.
"""

from __future__ import annotations

from ..threads.lock import lock
from .arguments import checked_count
from .callbacks import Callbacks

# The default limit for data queued for a peer that does not read, and the limit within one turn of the loop.
MAX_BUFFER_SIZE = 1 << 20
_MAX_IN_A_TURN = 16 << 20


class Limited(Callbacks):
    """The amount of queued data, and when it is too much."""

    _max_buffer_size: int | None = MAX_BUFFER_SIZE
    _patient = True  # while maxBufferSize has its default: see _is_too_much()

    def _start_limiting_over(self) -> None:
        """Reset to the state before the first connection."""
        self._queued = 0  # how many of bytesWritten are queued
        self._was_too_much = False  # in an earlier turn, and ever since
        self._looks_again = False  # a check in a later turn is scheduled

    @property
    def maxBufferSize(self) -> int | None:
        """How many bytes may be queued before the connection is destroyed. None: no limit. Can be set. (Not in Node)

        The default of 1 MiB is lenient: it counts what was queued before a write(), and allows 16 MiB in one turn of
        the loop.
        """
        return self._max_buffer_size

    @maxBufferSize.setter
    def maxBufferSize(self, limit: int | None) -> None:
        self._max_buffer_size = None if limit is None else checked_count("maxBufferSize", limit)
        self._patient = False

    def _is_too_much(self, before: int, limit: int) -> bool:
        """Whether to give up the peer. By default one write may have any size, and one turn may exceed the limit."""
        if not self._patient:
            return True
        if before > (limit if self._was_too_much else _MAX_IN_A_TURN):
            return True
        if not self._looks_again:
            self._looks_again = True
            self._later(self._look_again)
        return False

    def _look_again(self) -> None:
        self._looks_again = False
        with lock:
            self._was_too_much = self._is_over()

    def _is_over(self) -> bool:
        return self._max_buffer_size is not None and self._queued > self._max_buffer_size
