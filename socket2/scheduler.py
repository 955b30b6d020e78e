"""Threads and the loop that runs them: step a thread to its next wait, park it there, resume what has finished.

A thread yields what it waits for: a poller's Direction, or a Wait. The scheduler asks `park`, and does not know which
it was, nor which poller is at work. Each OS thread has a scheduler of its own, made when it is first needed.
An exception that nobody joins is reported where it happens and the loop goes on.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

import pollers
from pollers import STREAK_MAX, Cancelled, Poller

from .coroutines import is_bad_call, is_coroutine, no_wait, steps_of
from .interrupts import Interrupts
from .thread import PoolThread, Thread, local, report
from .timers import Timers, deadline_after
from .waits import Join

# newthread starts a thread inside the call. Deeper than this, one inside the other, it is left to the next turn.
_NESTED_STARTS_MAX = 64

# While only another OS thread could wake run()'s thread: how often to see whether there is one.
_LOOK_AGAIN_S = 0.5


class _Waitable(Protocol):
    error: BaseException | None

    def park(self, waiter: Any, /) -> bool: ...
    def cancel(self, error: BaseException, /) -> bool: ...


class Scheduler:
    """A poller, the timers, the ready queue and the live threads of one loop."""

    def __init__(self, poller: Poller | None = None) -> None:
        self.poller = poller if poller is not None else pollers.choose()
        self.timers = Timers()
        self.threads: set[Thread] = set()
        self.ready: deque[Thread] = deque()
        self.current: Thread | None = None
        self.hopeless = 0  # live threads that only another thread can wake
        self.running = False
        self._interrupts = Interrupts(self.poller)
        self._inbox: deque[Callable[[], Any]] = deque()
        self._stopping = False
        self._nested = 0
        self._escaping: BaseException | None = None
        _schedulers.add(self)

    # Threads.

    def newthread(self, func: Any, args: tuple[Any, ...], name: str | None = None, join: Join | None = None) -> Thread:
        """See the module's newthread(). `join` joins the thread from its first step on."""
        thread = Thread(self, func, name if name is not None else getattr(func, "__qualname__", None))
        if join is not None:
            thread._joiners = [join]
        creator, streak = self.current, self.poller.streak
        try:
            if self._begin(thread, func, args):
                self._start(thread)
        finally:
            self.current = creator
            self.poller.streak += streak  # what the new thread did counts as the creator's
        if creator is None and not self.running:
            self._escape()
        return thread

    def _begin(self, thread: Thread, func: Any, args: tuple[Any, ...]) -> bool:
        """Call `func`. False: that was all, and the thread has ended. An error of the call itself is the caller's."""
        if is_coroutine(func):
            if args:
                raise TypeError("arguments go with a function, not with a generator or coroutine that exists already")
            thread._coro = steps_of(func)
            return True
        if not callable(func):
            raise TypeError(f"a thread needs a function, a generator or a coroutine, not {func!r}")
        self.current = thread
        try:
            made = thread._context.run(func, *args)
        except BaseException as error:
            if is_bad_call(error):
                raise
            self._end(thread, None, error)
            return False
        if hasattr(made, "__anext__"):
            raise TypeError(f"{func!r} is an async generator, which is no thread")
        if not is_coroutine(made):
            self._end(thread, made, None)
            return False
        thread._coro = steps_of(made)
        return True

    def _start(self, thread: Thread) -> None:
        self.threads.add(thread)
        if self._nested >= _NESTED_STARTS_MAX:
            self.ready.append(thread)
            return
        self._nested += 1
        try:
            self._step(thread)
        finally:
            self._nested -= 1

    def _step(self, thread: Thread) -> None:
        """Run `thread` to its next wait, or to its end."""
        self.current = thread
        if thread._pending is None:
            self.poller.streak = 0
        else:
            self._before_interruption(thread)
        thread.waiting_on = None
        resume, argument = thread._coro.send, None
        while True:
            try:
                waiting: _Waitable = thread._context.run(resume, argument)
            except StopIteration as stop:
                self._end(thread, stop.value, None)
                return
            except BaseException as error:
                self._end(thread, None, error)
                return
            try:
                finished = waiting.park(thread)
            except Exception as error:
                resume, argument = thread._coro.throw, no_wait(thread.name, waiting, error)
            else:
                break
        thread.waiting_on = waiting
        if finished:
            self.ready.append(thread)
        if thread._pending is not None and waiting.cancel(thread._pending[0]):
            self._delivered(thread)
            self.ready.append(thread)

    def _before_interruption(self, thread: Thread) -> None:
        """`thread` is about to run, and something is to be raised in it: now, if its wait was given up for that."""
        pending = thread._pending
        if pending is not None and getattr(thread.waiting_on, "error", None) is pending[0]:
            self._delivered(thread)
        # Else the outcome of its wait comes first, and its next operation yields before it attempts anything.
        self.poller.streak = 0 if thread._pending is None else STREAK_MAX

    def _delivered(self, thread: Thread) -> None:
        assert thread._pending is not None
        thread._pending = thread._pending[1:] or None

    def interrupt(self, thread: Thread, error: BaseException) -> None:
        """Raise `error` in `thread` at the wait it is in, or at its next one if that has finished."""
        if thread._coro is None:
            return
        waiting = thread.waiting_on
        if thread._pending is None and waiting is not None and waiting.cancel(error):
            self.ready.append(thread)
        else:
            thread._pending = [*(thread._pending or ()), error]

    def forgive(self, thread: Thread, error: BaseException) -> None:
        """Take back an interruption that has not been delivered yet."""
        if thread._pending is not None:
            thread._pending = [pending for pending in thread._pending if pending is not error] or None

    def _end(self, thread: Thread, result: Any, error: BaseException | None) -> None:
        thread._coro = thread._context = thread.waiting_on = thread._pending = None  # type: ignore[assignment]
        thread._result = result
        if error is not None:
            # Without the scheduler's own frame, which holds the thread, which holds the error.
            thread._result = error.__traceback__.tb_next if error.__traceback__ is not None else None
            thread._error = error.with_traceback(thread._result)
        self.threads.discard(thread)
        joiners, thread._joiners = thread._joiners, None
        joined = [join.finish() for join in joiners or ()]
        if error is None:
            return
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._escaping = error
        elif isinstance(error, Cancelled) and error.meant_for is thread:
            error.meant_for = None  # as it was meant; and no cycle of the thread and its error
        elif not any(joined):
            report(thread, error)

    # The loop.

    def post(self, call: Callable[[], Any]) -> None:
        """Have the loop make a call between two steps. From any OS thread or signal handler."""
        self._inbox.append(call)
        self.poller.wakeup()

    def stop(self) -> None:
        self._stopping = True
        self.poller.wakeup()

    def poll(self, timeout_s: float | None) -> bool:
        deadline = deadline_after(timeout_s)
        with self._loop():
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    return True
                if deadline is not None and monotonic() >= deadline:
                    return False
        return False

    def start(self, timeout_s: float | None) -> bool:
        deadline = deadline_after(timeout_s)
        with self._loop():
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    if deadline is not None:
                        deadline = deadline_after(timeout_s)
                elif deadline is not None and monotonic() >= deadline:
                    return False
        return True

    def run(self, main: Any, *args: Any) -> Any:
        with self._loop():
            join = Join("run")
            thread = self.newthread(main, args, join=join)
            try:
                interrupted = self._run(thread)
            finally:
                if thread._joiners is not None:
                    thread._joiners.remove(join)
            if self._escaping is thread._error:
                self._escaping = None
            self._escape()
        if interrupted and isinstance(thread._error, Cancelled):
            raise KeyboardInterrupt
        return thread.result()

    def _run(self, thread: Thread) -> bool:
        """Loop until `thread` has ended; return whether a Ctrl-C has cancelled it."""
        interrupted = False
        while not thread.done:
            if self._stopping:
                raise RuntimeError(f"stop() was called before {thread!r} had ended")
            look_again = None
            if not self._anything_to_wait_for():
                if not _other_os_threads():
                    raise RuntimeError(f"deadlock: nothing is left that could wake {thread!r}")
                look_again = monotonic() + _LOOK_AGAIN_S
            try:
                self._turn(look_again)
            except KeyboardInterrupt:
                if interrupted or thread.done:
                    raise
                interrupted = thread.cancel()
        return interrupted

    def _anything_to_wait_for(self) -> bool:
        return len(self.threads) > self.hopeless or bool(self.ready or self._inbox or self._escaping)

    def _turn(self, deadline: float | None) -> bool:
        """Wait until `deadline` at the longest for something to happen; step every thread that it concerns."""
        step = self._step
        ready = self.ready
        timers = self.timers
        wait_s: float | None
        if ready or self._inbox or self._interrupts.noted or self._escaping is not None:
            wait_s = 0
        else:
            due = timers.next_due()
            if due is None or (deadline is not None and deadline < due):
                due = deadline
            wait_s = None if due is None else max(due - monotonic(), 0)
        finished = self.poller.poll(wait_s)
        happened = bool(finished)
        rest = iter(finished)
        try:
            for direction in rest:
                thread = direction.waiter
                if thread is not None and thread.scheduler is self:
                    step(thread)
                else:
                    self._misled(thread)
        except BaseException:
            ready.extend(direction.waiter for direction in rest)
            raise
        finally:
            self.current = None
        if timers.heap and timers.fire():
            happened = True
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        if ready:
            happened = True
            try:
                for _ in range(len(ready)):
                    step(ready.popleft())
            finally:
                self.current = None
        if self._interrupts.noted:
            self._interrupts.noted = 0
            raise KeyboardInterrupt
        self._escape()
        return happened

    def _misled(self, thread: Thread | None) -> None:
        """An operation has finished, and its generator was closed meanwhile, or its thread belongs to another loop."""
        if thread is not None:
            error = RuntimeError(f"{thread.name} waits on a socket that belongs to the loop of another OS thread")
            thread.scheduler.post(functools.partial(thread.scheduler.interrupt, thread, error))
            thread.scheduler.post(functools.partial(thread.scheduler.ready.append, thread))

    def _escape(self) -> None:
        """Let a KeyboardInterrupt or SystemExit that ended a thread out of the loop."""
        if self._escaping is not None:
            error, self._escaping = self._escaping, None
            raise error

    @contextmanager
    def _loop(self) -> Iterator[None]:
        if self.running:
            raise RuntimeError("the loop of this OS thread is running already")
        if self.current is not None:
            raise RuntimeError("called inside a thread: only an OS thread that is no coroutine thread runs the loop")
        self.running = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        try:
            with self._interrupts:
                yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            self.running = False
            self._stopping = False
        if self._interrupts.noted:
            self._interrupts.noted = 0
            raise KeyboardInterrupt

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """An async generator was dropped before its end: what it has to clean up may have to wait."""
        self.post(functools.partial(self.newthread, generator.aclose, ()))

    def close(self) -> None:
        """Cancel all threads, give them a turn to end, shut the poller down. For OS threads that are done with it."""
        with self._loop():
            for thread in list(self.threads):
                thread.cancel()
            while self.ready:
                self._turn(0)
        self.poller.shutdown()


def _other_os_threads() -> bool:
    """Whether an OS thread is alive that could resume one of ours. A pool's own could not."""
    return sum(not isinstance(thread, PoolThread) for thread in threading.enumerate()) > 1


def current_scheduler() -> Scheduler:
    """Return this OS thread's scheduler, making it when there is none yet."""
    scheduler = local.scheduler
    if scheduler is None:
        scheduler = local.scheduler = Scheduler()
    return scheduler


# A forked child must not end the parent's threads: their `finally` blocks are about the parent's affairs. The
# schedulers are held while the fork takes the other OS threads away, and in the child for good.
_schedulers: weakref.WeakSet[Scheduler] = weakref.WeakSet()
_held: list[Scheduler] = []


def _before_fork() -> None:
    _held.extend(_schedulers)


def _after_fork_in_child() -> None:
    local.scheduler = None
    _schedulers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_held.clear, after_in_child=_after_fork_in_child)
