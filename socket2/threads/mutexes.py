"""Locks that belong to the thread that holds them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pollers import operation

from .lock import lock
from .scheduler import leave_to_loop
from .semaphores import Held, Permits
from .thread import Thread, currentthread, over_at_once


class Mutex(Permits):
    """What Lock and RLock have in common. `_depth` is how often the holder has acquired it."""

    __slots__ = ("_blocks_without", "_depth", "_holder")

    def __init__(self) -> None:
        super().__init__(1)
        self._depth = 0
        self._blocks_without = 0  # how many blocks are being dropped in the wait of a Condition, where they had no lock
        self._holder: Thread[object] | None = None

    def locked(self) -> bool:
        """Whether a thread holds the lock."""
        return not self._free

    def release(self) -> None:
        """Release the lock. The first waiting thread gets it. Raises RuntimeError in a thread that does not hold it."""
        if not self._is_mine():
            raise RuntimeError(f"only the thread that holds a lock can release it; the holder is {self._holder!r}")
        self._release()

    def _is_mine(self) -> bool:
        """Whether the current thread holds the lock."""
        return self._holder is not None and self._holder is currentthread()

    @operation
    def _take_again(self, depth: int) -> Generator[Any, None, None]:
        """Acquire the lock that the current thread has let go."""
        place = self._enter(True)
        if place is not None:
            yield from self._line.stay(place, lambda _: self._put_back())
        try:
            self._own()
        except BaseException:
            self._disown()
            raise
        self._depth = depth

    def _release(self) -> None:
        self._put_back()

    def _own(self) -> Held:
        self._holder, self._depth = currentthread(), 1
        return Held(self)

    def _put_back(self) -> None:
        """Release the lock, whatever its depth is."""
        try:
            with lock:
                self._holder, self._depth, self._free = None, 0, 1
                if self._line.places:
                    self._settle()
        except BaseException:  # a signal handler raised
            self._settle()
            raise

    def _end_block(self, dropped: bool) -> None:
        if not dropped:
            self.release()
        elif self._blocks_without:
            self._blocks_without -= 1
        elif self._holder is not None and not leave_to_loop(self._release):
            self._release()  # in any thread: the block may be in an async generator, which another thread closes


class Lock(Mutex):
    """A lock that one thread at a time holds. Other threads wait for it in the order of their arrival.

    `with (yield from lock.acquire()):` or `async with lock:` releases the lock at the end of the block. acquire()
    raises RuntimeError in the thread that already holds the lock.
    """

    __slots__ = ()
    _purpose = "lock"

    def _check(self) -> None:
        if self._is_mine():
            raise RuntimeError(f"{currentthread().name!r} already holds this lock, and would wait for itself forever")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {_holder_of(self)}, {len(self._line)} waiting>"


class RLock(Mutex):
    """A lock that its holder may acquire again. It is free when the holder has released it as often.

    `with (yield from lock.acquire()):` or `async with lock:` releases the lock at the end of the block. The holder is a
    thread of socket2, and not an OS thread. Other threads wait in the order of their arrival. (threading.RLock)
    """

    __slots__ = ()
    _purpose = "rlock"

    def acquire_nowait(self) -> Held:
        """Acquire without waiting. Return the same as acquire(). Raises WouldBlock if acquire() would wait."""
        return self._acquire_again() if self._is_mine() else super().acquire_nowait()

    @operation
    def _acquire(self) -> Generator[Any, None, Held]:
        if not self._is_mine():
            return (yield from super()._acquire())
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        return self._acquire_again()

    def _acquire_again(self) -> Held:
        held = Held(self)  # made first: if a signal handler raises here, nothing has been acquired
        self._depth += 1
        return held

    def _release(self) -> None:
        if self._depth > 1:
            self._depth -= 1
        else:
            self._put_back()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {_holder_of(self)}, depth {self._depth}, {len(self._line)} waiting>"


def _holder_of(mutex: Mutex) -> str:
    holder = mutex._holder
    if holder is None:
        return "held" if mutex.locked() else "free"
    return f"held by {holder.name!r}{', which has ended' if holder.done else ''}"
