"""How much may be queued for a peer that does not read.

A limit that somebody has set is one. The default is patient: a program may write a lot at once, and the peer may be
slow. It only ends a connection that is written to on and on while what was written before has not left.
"""

from __future__ import annotations

from ..threads.lock import lock
from .arguments import checked_count
from .callbacks import Callbacks

# What may be queued for a peer that does not read, where nobody says otherwise; and within one turn of the loop.
MAX_BUFFER_SIZE = 1 << 20
_MAX_IN_A_TURN = 16 << 20


class Limited(Callbacks):
    """What is queued, and when that is too much."""

    _max_buffer_size: int | None = MAX_BUFFER_SIZE
    _patient = True  # as long as maxBufferSize is the default: see _is_too_much()

    def _start_limiting_over(self) -> None:
        """As before the first connection."""
        self._queued = 0  # of bytesWritten
        self._was_too_much = False  # in an earlier turn, and since
        self._looks_again = False  # whether it is, in a later turn

    @property
    def maxBufferSize(self) -> int | None:
        """How many bytes may be queued before the connection is destroyed; None: any number. May be set. (Ours)

        The default of 1 MiB is patient: it looks at what was queued before a write(), and lets one turn of the loop
        queue up to 16 MiB.
        """
        return self._max_buffer_size

    @maxBufferSize.setter
    def maxBufferSize(self, limit: int | None) -> None:
        self._max_buffer_size = None if limit is None else checked_count("maxBufferSize", limit)
        self._patient = False

    def _is_too_much(self, before: int, limit: int) -> bool:
        """Whether the peer is to be given up. By default one write may be of any size, and one turn may write more."""
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
