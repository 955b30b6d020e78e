"""Threads and the loop that runs them: step a thread to its next wait, park it there, resume what has finished.

A thread yields what it waits for: a poller's Direction, or a Wait. The scheduler asks `park`, and does not know which
it was, nor which poller is at work. Each OS thread has a scheduler of its own, made when it is first needed.
An exception that nobody joins is reported where it happens and the loop goes on.
"""

from __future__ import annotations

import math
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import CoroutineType, GeneratorType
from typing import Any, Protocol

import pollers
from pollers import Cancelled, Poller

from . import thread as threads
from .interrupts import Interrupts
from .thread import Thread, local
from .timers import Timers
from .waits import Join

# newthread starts a thread inside the call. Deeper than this, one inside the other, it is left to the next turn.
_NESTED_STARTS_MAX = 64


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

    # Threads.

    def newthread(self, func: Any, args: tuple[Any, ...], name: str | None = None, join: Join | None = None) -> Thread:
        """See the module's newthread(). `join` joins the thread from its first step on."""
        thread = Thread(self, func, name if name is not None else getattr(func, "__qualname__", None))
        if join is not None:
            thread._joiners = [join]
        creator = self.current
        if isinstance(func, (GeneratorType, CoroutineType)) or hasattr(func, "__await__"):
            if args:
                raise TypeError("arguments go with a function, not with a generator or coroutine that exists already")
            coro = func.__await__() if hasattr(func, "__await__") else func
        else:
            if not callable(func):
                raise TypeError(f"a thread needs a function, a generator or a coroutine, not {func!r}")
            self.current = thread
            try:
                coro = thread._context.run(func, *args)
            except BaseException as error:
                if _is_bad_call(error):
                    raise
                self._end(thread, None, error)
                return thread
            finally:
                self.current = creator
            if hasattr(coro, "__anext__"):
                raise TypeError(f"{func!r} is an async generator, which is no thread")
            if not isinstance(coro, (GeneratorType, CoroutineType)):
                if not hasattr(coro, "__await__"):
                    self._end(thread, coro, None)
                    return thread
                coro = coro.__await__()
        thread._coro = coro
        self.threads.add(thread)
        if self._nested >= _NESTED_STARTS_MAX:
            self.ready.append(thread)
            return thread
        self._nested += 1
        try:
            self._step(thread)
        finally:
            self._nested -= 1
            self.current = creator
        if not self.running:
            self._escape()
        return thread

    def _step(self, thread: Thread) -> None:
        """Run `thread` to its next wait, or to its end."""
        self.current = thread
        self.poller.streak = 0
        if thread._error is not None and getattr(thread.waiting_on, "error", None) is thread._error:
            thread._error = None  # the poller was asked to cancel, and did: it is delivered now
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
                resume, argument = thread._coro.throw, _no_wait(thread, waiting, error)
            else:
                break
        thread.waiting_on = waiting
        if finished:
            self.ready.append(thread)
        elif thread._error is not None:
            pending, thread._error = thread._error, None
            self.interrupt(thread, pending)

    def interrupt(self, thread: Thread, error: BaseException) -> None:
        """Raise `error` in `thread` at the wait it is in, or at its next one if that has finished."""
        waiting = thread.waiting_on
        if waiting is not None and waiting.cancel(error):
            self.ready.append(thread)
        elif thread._coro is not None and thread._error is None:
            thread._error = error

    def _end(self, thread: Thread, result: Any, error: BaseException | None) -> None:
        thread._coro = thread._context = thread.waiting_on = None  # type: ignore[assignment]
        thread._result = result
        thread._error = error
        self.threads.discard(thread)
        joiners, thread._joiners = thread._joiners, None
        for join in joiners or ():
            join.finish()
        if error is None:
            return
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._escaping = error
        elif not joiners and not (isinstance(error, Cancelled) and error.meant_for is thread):
            try:
                threads.crashhook(thread, error)
            except Exception:
                traceback.print_exc()

    # The loop.

    def post(self, call: Callable[[], Any]) -> None:
        """Have the loop make a call between two steps. From any OS thread or signal handler."""
        self._inbox.append(call)
        self.poller.wakeup()

    def stop(self) -> None:
        self._stopping = True
        self.poller.wakeup()

    def poll(self, timeout_s: float | None) -> bool:
        deadline = _deadline(timeout_s)
        with self._loop():
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    return True
                if deadline is not None and monotonic() >= deadline:
                    return False
        return False

    def start(self, timeout_s: float | None) -> bool:
        deadline = _deadline(timeout_s)
        with self._loop():
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    if deadline is not None:
                        deadline = _deadline(timeout_s)
                elif deadline is not None and monotonic() >= deadline:
                    return False
        return True

    def run(self, main: Any, *args: Any) -> Any:
        with self._loop():
            thread = self.newthread(main, args, join=Join("run"))
            interrupted = False
            while not thread.done:
                if self._stopping:
                    raise RuntimeError(f"stop() was called before {thread!r} had ended")
                # With other OS threads about, one of them may yet resume it.
                if not self._anything_to_wait_for() and threading.active_count() == 1:
                    raise RuntimeError(f"deadlock: nothing is left that could wake {thread!r}")
                try:
                    self._turn(None)
                except KeyboardInterrupt:
                    if interrupted or thread.done:
                        raise
                    interrupted = thread.cancel()
            if self._escaping is thread._error:
                self._escaping = None
        if interrupted and isinstance(thread._error, Cancelled) and thread._error.meant_for is thread:
            raise KeyboardInterrupt
        return thread.result()

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
                step(direction.waiter)
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
        try:
            with self._interrupts:
                yield
        finally:
            self.running = False
            self._stopping = False
        if self._interrupts.noted:
            self._interrupts.noted = 0
            raise KeyboardInterrupt

    def close(self) -> None:
        """Cancel all threads, give them a turn to end, shut the poller down. For OS threads that are done with it."""
        with self._loop():
            for thread in list(self.threads):
                thread.cancel()
            while self.ready:
                self._turn(0)
        self.poller.shutdown()

    def after_fork_in_child(self) -> None:
        self._interrupts.__exit__()


def _no_wait(thread: Thread, yielded: object, error: Exception) -> Exception:
    """What to throw into a thread that cannot be parked on what it has yielded."""
    if hasattr(yielded, "park"):
        return error
    missing = " (is it `yield` where `yield from` was meant?)" if isinstance(yielded, GeneratorType) else ""
    return TypeError(f"{thread.name} waits for {yielded!r}, which is no operation of socket2{missing}")


def _is_bad_call(error: BaseException) -> bool:
    """Whether a call failed for its arguments, before any code of the function ran."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def duration(seconds: float) -> float:
    """Return `seconds` when it is a length of time; raise TypeError or ValueError when it is not."""
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"a time to wait must not be negative or NaN, not {seconds!r}")
    return seconds


def _deadline(timeout_s: float | None) -> float | None:
    """The point in time `timeout_s` from now; None for ever, which more than 2^31 - 1 seconds is taken for."""
    if timeout_s is None:
        return None
    if math.isnan(timeout_s):
        raise ValueError("a timeout must not be NaN")
    return None if timeout_s > 2**31 - 1 else monotonic() + max(timeout_s, 0)


def current_scheduler() -> Scheduler:
    """Return this OS thread's scheduler, making it when there is none yet."""
    scheduler = local.scheduler
    if scheduler is None:
        scheduler = local.scheduler = Scheduler()
    return scheduler


def newthread(func: Any, *args: Any, name: str | None = None) -> Thread:
    """Start a thread now and return it at its first wait, or at its end if it never waits.

    `func` is a generator function, an `async def` function or a plain one, called with `args`; or a generator or
    coroutine that exists already. The thread has a copy of the caller's contextvars. An exception that it ends with is
    kept for join(); when nobody joins at that moment it is also reported to crashhook(), and the loop goes on.
    TypeError when `func` cannot be called, or not with these arguments. (luapower's newthread)
    """
    return current_scheduler().newthread(func, args, name)


def poll(timeout: float | None = None) -> bool:
    """Wait up to `timeout` seconds (None: for ever; negative: 0) for something to happen; resume who waits for it.

    Return False when the time is over, when nothing is left to wait for, or on stop(). Raises KeyboardInterrupt, and
    what a thread raises as SystemExit or KeyboardInterrupt; RuntimeError inside a thread. (luapower's poll)
    """
    return current_scheduler().poll(timeout)


def start(timeout: float | None = None) -> bool:
    """Poll until stop(), or until nothing is left to wait for; return True then.

    Return False when nothing has happened for `timeout` seconds: an idle timeout, not a deadline. May be called again.
    A stop() that came before counts, once. Raises as poll() does. (luapower's start)
    """
    return current_scheduler().start(timeout)


def stop() -> None:
    """Make the loop of this OS thread end after its present turn, or the next one that is started end at once."""
    current_scheduler().stop()


def run(main: Any, *args: Any) -> Any:
    """Start a thread (as newthread does), run the loop until it ends, and return or raise its outcome.

    Other threads that are still alive stay as they are: a later run() or start() carries them on. Ctrl-C cancels the
    main thread, and KeyboardInterrupt is raised once it has ended; a second one is raised at once. RuntimeError on
    stop(), in a thread, and on a deadlock: when nothing is left, not even another OS thread, to wake the main thread.
    """
    return current_scheduler().run(main, *args)


def epoll_fd() -> int:
    """Return the descriptor of the epoll instance that this OS thread's scheduler waits on.

    OSError when its poller is another one. The descriptor is the poller's: do not close it.
    """
    scheduler = current_scheduler()
    if scheduler.poller.name != "epoll":
        raise OSError(f"the poller of this OS thread is {scheduler.poller.name!r}, not 'epoll'")
    return scheduler.poller.fileno()


def _after_fork_in_child() -> None:
    if local.scheduler is not None:
        local.scheduler.after_fork_in_child()
        local.scheduler = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
