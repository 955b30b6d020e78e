"""Condition variables: threads wait until another thread, which has changed something under a lock, notifies them.

A thread that waits has let the lock go, and has it again when its wait ends, however it ends. A waiter that has been
notified returns normally, even if it is cancelled while it waits for the lock. So no notification is lost.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pollers
from pollers import Operation, operation

from .coroutines import check_plain, is_coroutine
from .deadline import within
from .line import Line, Place
from .mutexes import Lock, RLock
from .semaphores import Held
from .thread import interruption_first, over_at_once
from .unbroken import unbroken

T = TypeVar("T")


class Condition(pollers.Unique):
    """A condition variable: threads that hold its lock wait for a notification of another thread.

    `lock` is a Lock or an RLock, which other conditions may share. None: a Lock of its own. Acquire it with
    `with (yield from condition.acquire()):` or `async with condition:`. Raises TypeError if `lock` is something else.
    (threading.Condition)
    """

    __slots__ = ("_line", "_lock")

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        if not isinstance(lock, Lock | RLock | None):
            raise TypeError(f"the lock of a condition must be a Lock or an RLock of socket2, not {lock!r}")
        self._lock = Lock() if lock is None else lock
        self._line = Line()

    def acquire(self, timeout_s: float | None = None) -> Operation[Held]:
        """Acquire the lock, as its own acquire() does."""
        return self._lock.acquire(timeout_s)

    def acquire_nowait(self) -> Held:
        """Acquire the lock, as its own acquire_nowait() does."""
        return self._lock.acquire_nowait()

    def release(self) -> None:
        """Release the lock, as its own release() does."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether a thread holds the lock."""
        return self._lock.locked()

    def wait(self, timeout_s: float | None = None) -> Operation[None]:
        """Let the lock go, wait for a notification, and acquire the lock again.

        Raises TimeoutError if none comes within `timeout_s` seconds; None: no limit. After a timeout or cancellation,
        too, the thread has the lock again, and waits for it as long as that takes. If the notification came first,
        wait() returns, and the cancellation is raised at the next wait. An RLock is let go whatever its depth, and has
        that depth again. Raises RuntimeError if the thread does not hold the lock; ValueError if `timeout_s` is
        negative or NaN.
        """
        return within(timeout_s, self._wait)

    def wait_for(self, predicate: Callable[[], T], timeout_s: float | None = None) -> Operation[T]:
        """Wait until `predicate()` is true, and return its result. It is called with the lock, after each notification.

        The errors, and what a timeout or cancellation leaves, are those of wait(). An error of `predicate` is raised
        here. Raises TypeError if `predicate` is not a plain function: a generator function, an `async def` function or
        one that returns an operation would seem to be true at once.
        """
        check_plain(predicate, "a predicate")
        return within(timeout_s, self._wait_for, predicate)

    def notify(self, n: int = 1) -> None:
        """Wake the first `n` waiting threads, or all if there are fewer. Each runs when it has the lock.

        Raises RuntimeError if the thread does not hold the lock; ValueError if `n` is negative.
        """
        if operator.index(n) < 0:
            raise ValueError(f"the number of threads to notify must not be negative, but it is {n!r}")
        self._check_lock("notify")
        for _ in range(n):
            if self._line.call() is None:
                return

    def notify_all(self) -> None:
        """Wake all waiting threads. Raises RuntimeError if the thread does not hold the lock."""
        self._check_lock("notify")
        while self._line.call() is not None:
            pass

    def _check_lock(self, action: str) -> None:
        if not self._lock._is_mine():
            raise RuntimeError(f"only the thread that holds the lock of a condition can {action}")

    @operation
    def _wait(self) -> Generator[Any, None, None]:
        self._check_lock("wait")
        if (turn := interruption_first()) is not None:
            yield from turn.wait()
        depth = self._lock._depth
        try:
            yield from self._wait_without(depth)
        except GeneratorExit:  # nothing can be waited for any more, not even for the lock
            self._lock._blocks_without += depth
            raise

    @operation
    def _wait_without(self, depth: int) -> Generator[Any, None, None]:
        """Wait for a notification without the lock."""
        place = Place("condition")
        try:
            self._line.add(place)  # before another OS thread can take the lock and notify
            self._lock._put_back()
            yield from place.wait()
        except BaseException as error:
            self._line.leave(place, self._pass_on)
            if not isinstance(error, GeneratorExit):
                yield from self._lock_again(depth)
            raise
        yield from self._lock_again(depth)

    @operation
    def _lock_again(self, depth: int) -> Generator[Any, None, None]:
        if not self._lock._is_mine():  # a signal handler may have raised before it was let go
            yield from unbroken(self._lock._take_again(depth))

    def _pass_on(self, _: object) -> None:
        """Give the notification of a thread that is not there any more to the next one."""
        self._line.call()

    @operation
    def _wait_for(self, predicate: Callable[[], T]) -> Generator[Any, None, T]:
        self._check_lock("wait")
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        while True:
            result = predicate()
            if is_coroutine(result):
                getattr(result, "close", bool)()  # no second complaint: that it was never awaited
                raise TypeError(f"a predicate must be a plain function, but {predicate!r} has returned {result!r}")
            if result:
                return result
            yield from self._wait()

    @operation
    def __aenter__(self) -> Generator[Any, None, None]:
        yield from self.acquire()

    @operation
    def __aexit__(self, *error: Any) -> Generator[Any, None, None]:
        yield from self._lock.__aexit__(*error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self._line)} waiting, {self._lock!r}>"
