"""Blocking calls, made in OS threads so that the loop goes on: a pool with a cap, whose threads end when idle.

The threads are daemons and are not waited for when the interpreter exits: a look-up that hangs must not hang the
program, which is what concurrent.futures' pools do. A call whose waiter has left is dropped if it has not begun, and
its outcome is if it has.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

from pollers import Operation, operation

from .scheduler import Scheduler
from .thread import PoolThread, currentthread
from .waits import Wait

T = TypeVar("T")

LOOKUPS_MAX = 16
CALLS_MAX = 32
IDLE_S = 5.0


class _Call:
    __slots__ = ("args", "context", "func", "scheduler", "wait")

    def __init__(self, scheduler: Scheduler, wait: Wait, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.scheduler = scheduler
        self.wait = wait
        self.func = func
        self.args = args
        self.context = contextvars.copy_context()

    def make(self) -> Callable[[], bool]:
        """Make the call; return what ends the wait, to be posted to the scheduler."""
        try:
            return partial(self.wait.finish, self.context.run(self.func, *self.args))
        except BaseException as error:
            return partial(self.wait.fail, error)

    def deliver(self, outcome: Callable[[], bool]) -> None:
        if not self.wait.done:
            try:
                self.scheduler.post(outcome)
            except RuntimeError:
                pass  # the loop has been shut down since


class Pool:
    """OS threads that make blocking calls: at most `size` of them, started as they are needed."""

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self.reset()

    def reset(self) -> None:
        """Start from nothing: in a forked child none of the OS threads exists."""
        self._calls: deque[_Call] = deque()
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._ending: set[threading.Thread] = set()
        self._changed = threading.Condition(threading.Lock())

    @operation
    def call(self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...]) -> Generator[Any, None, Any]:
        """Make the call in an OS thread; return what it returns, or raise what it raises."""
        wait = Wait(purpose)
        self._submit(_Call(currentthread().scheduler, wait, func, args))
        return (yield from wait.wait())

    def end(self) -> None:
        """End the threads that are making no call now, and wait for those."""
        with self._changed:
            ending = self._threads - self._busy
            self._ending |= ending
            self._changed.notify_all()
        for thread in ending:
            thread.join()

    def _submit(self, call: _Call) -> None:
        with self._changed:
            self._calls.append(call)
            idle = len(self._threads) - len(self._busy) - len(self._ending)
            if idle >= len(self._calls) or len(self._threads) >= self.size:
                self._changed.notify()
                return
            thread = PoolThread(target=self._work, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system gives no more: then the others make the call, if there are any.
                if not self._threads:
                    self._calls.remove(call)
                    raise
            else:
                self._threads.add(thread)

    def _work(self) -> None:
        me = threading.current_thread()
        while (call := self._next(me)) is not None:
            outcome = None if call.wait.done else call.make()
            with self._changed:
                self._busy.discard(me)
            if outcome is not None:
                call.deliver(outcome)
            del call, outcome

    def _next(self, me: threading.Thread) -> _Call | None:
        with self._changed:
            self._changed.wait_for(lambda: self._calls or me in self._ending, IDLE_S)
            if self._calls:
                self._busy.add(me)
                self._ending.discard(me)
                return self._calls.popleft()
            self._threads.discard(me)
            self._ending.discard(me)
            return None


calls = Pool(CALLS_MAX, "socket2 call")
lookups = Pool(LOOKUPS_MAX, "socket2 look-up")


def call_in_thread(func: Callable[..., T], *args: Any) -> Operation[T]:
    """Make a blocking call in an OS thread while other threads run; return or raise its outcome.

    At most 32 such calls run at a time; more wait in line. Cancelled or out of time: the wait ends at once; the call,
    if it had begun, goes on and its outcome is dropped. The function sees the caller's contextvars. RuntimeError
    outside a thread; TypeError if `func` cannot be called.
    """
    currentthread()
    if not callable(func):
        raise TypeError(f"a function is needed, not {func!r}")
    return calls.call(f"call of {getattr(func, '__qualname__', func)} in an OS thread", func, args)


def _after_fork_in_child() -> None:
    calls.reset()
    lookups.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
