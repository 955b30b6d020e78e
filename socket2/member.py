"""One OS thread's part in running threads: its loop, and the thread that it is running now.

A thread yields what it waits for: a poller's Direction, or a Wait. The member asks `park`, and does not know which it
was, nor which poller is at work. Each OS thread has a member, and a scheduler, of its own, made when first needed.
An exception that nobody joins is reported where it happens and the loop goes on.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

from pollers import Cancelled

from .coroutines import is_bad_call, is_coroutine, no_wait, steps_of
from .interrupts import Interrupts
from .scheduler import Scheduler, current_scheduler, other_os_threads
from .thread import Thread, local, report
from .timers import deadline_after
from .waits import Join

# newthread starts a thread inside the call. Deeper than this, one inside the other, it is left to the next turn.
_NESTED_STARTS_MAX = 64

# Called, while debugging is on, with each thread that is about to take its first step, and with who starts it.
starthook: Callable[[Thread, Thread | None], Any] | None = None

# While only another OS thread could wake run()'s thread: how often to see whether there is one.
_LOOK_AGAIN_S = 0.5


class _Waitable(Protocol):
    def park(self, waiter: Any, /) -> bool: ...
    def cancel(self, error: BaseException, /) -> bool: ...


class Member:
    """An OS thread that runs the threads of a scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.current: Thread | None = None
        self.running = False
        self._interrupts = Interrupts(scheduler.poller, scheduler.poller.wakeup)
        self._stopping = False
        self._nested = 0
        self._escaping: BaseException | None = None

    # Starting and ending threads.

    def newthread(self, func: Any, args: tuple[Any, ...], name: str | None = None, join: Join | None = None) -> Thread:
        """See the module's newthread(). `join` joins the thread from its first step on."""
        poller = self.scheduler.poller
        thread = Thread(self.scheduler, func, name if name is not None else getattr(func, "__qualname__", None))
        if join is not None:
            thread._add_join(join)
        creator, streak = self.current, poller.streak
        try:
            if self._begin(thread, func, args):
                if starthook is not None:
                    starthook(thread, creator)
                self._start(thread)
        finally:
            self.current = creator
            poller.streak = max(streak, poller.streak)  # what the new thread did counts as the creator's
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
        self.scheduler.threads[thread] = None
        if self._nested >= _NESTED_STARTS_MAX:
            self.scheduler.ready.append(thread)
            return
        self._nested += 1
        try:
            self._step((thread,))
        finally:
            self._nested -= 1

    def _step(self, threads: Iterable[Thread]) -> None:
        """Run each thread to its next wait, or to its end. Every request comes through here: hence in one frame."""
        scheduler = self.scheduler
        for thread in threads:
            if thread.scheduler is not scheduler:
                _misled(thread)
                continue
            self.current = thread
            if thread._errors is not None:
                scheduler.before_interruption(thread)
            thread.waiting_on = None
            resume, argument = thread._coro.send, None
            while True:  # until it has yielded something that it can be parked on
                try:
                    waiting: _Waitable = thread._context.run(resume, argument)
                except StopIteration as stop:
                    self._end(thread, stop.value, None)
                    break
                except BaseException as error:
                    self._end(thread, None, error)
                    break
                try:
                    finished = waiting.park(thread)
                except Exception as error:
                    resume, argument = thread._coro.throw, no_wait(thread.name, waiting, error)
                    continue
                thread.waiting_on = waiting
                if finished:
                    scheduler.ready.append(thread)
                if thread._errors is not None and waiting.cancel(thread._errors[0]):
                    scheduler.delivered(thread)
                    scheduler.ready.append(thread)
                break

    def _end(self, thread: Thread, result: Any, error: BaseException | None) -> None:
        joins = thread._outcome
        thread._coro = thread._context = thread.waiting_on = thread._errors = None  # type: ignore[assignment]
        thread._outcome = result
        if error is not None:
            # Without the member's own frame, which holds the thread, which holds the error.
            thread._outcome = error.__traceback__.tb_next if error.__traceback__ is not None else None
            thread._errors = [error.with_traceback(thread._outcome)]
        self.scheduler.threads.pop(thread, None)
        joined = [join.finish() for join in joins or ()]
        if error is None:
            return
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._escaping = error
        elif isinstance(error, Cancelled) and error.meant_for is thread:
            error.meant_for = None  # as it was meant; and no cycle of the thread and its error
        elif not any(joined):
            report(thread, error)

    # The loop.

    def stop(self) -> None:
        self._stopping = True
        self.scheduler.poller.wakeup()

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
                thread._drop_join(join)
            error = thread._errors[0] if thread._errors is not None else None
            if self._escaping is error:
                self._escaping = None
            self._escape()
        if interrupted and isinstance(error, Cancelled):
            raise KeyboardInterrupt
        del error  # which has this frame in its traceback
        return thread.result()

    def _run(self, thread: Thread) -> bool:
        """Loop until `thread` has ended; return whether a Ctrl-C has cancelled it."""
        interrupted = False
        while not thread.done:
            if self._stopping:
                raise RuntimeError(f"stop() was called before {thread!r} had ended")
            look_again = None
            if not self._anything_to_wait_for():
                if not other_os_threads():
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
        return self._escaping is not None or self.scheduler.anything_to_wait_for()

    def _turn(self, deadline: float | None) -> bool:
        """Wait until `deadline` at the longest for something to happen; step every thread that it concerns."""
        scheduler = self.scheduler
        finished = scheduler.poller.poll(self._wait_s(deadline))
        happened = bool(finished)
        if finished:
            self._step_all(iter(finished))
        if scheduler.timers.heap and scheduler.timers.fire():
            happened = True
        for _ in range(len(scheduler.inbox)):
            scheduler.inbox.popleft()()
        if scheduler.ready:
            happened = True
            ready = list(scheduler.ready)
            scheduler.ready.clear()
            self._step_all(iter(ready))
        if self._interrupts.noted:
            self._interrupts.noted = 0
            raise KeyboardInterrupt
        self._escape()
        return happened

    def _wait_s(self, deadline: float | None) -> float | None:
        """How long to wait for the kernel: not at all when there is something else to do, None for ever."""
        scheduler = self.scheduler
        if scheduler.ready or scheduler.inbox or self._interrupts.noted or self._escaping is not None:
            return 0
        due = scheduler.timers.next_due()
        if due is None or (deadline is not None and deadline < due):
            due = deadline
        return None if due is None else max(due - monotonic(), 0)

    def _step_all(self, threads: Iterator[Thread]) -> None:
        """Step them; those that a signal's exception leaves over stay ready, in their order."""
        try:
            self._step(threads)
        except BaseException:
            self.scheduler.ready.extendleft(reversed(list(threads)))
            raise
        finally:
            self.current = None

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
        self.scheduler.post(functools.partial(_newthread, generator.aclose))

    def close(self) -> None:
        """Cancel all threads, give them a turn to end, shut the poller down. For OS threads that are done with it."""
        with self._loop():
            for thread in list(self.scheduler.threads):
                thread.cancel()
            while self.scheduler.ready:
                self._turn(0)
        self.scheduler.poller.shutdown()


def _newthread(func: Callable[[], Any]) -> None:
    current_member().newthread(func, ())


def _misled(thread: Thread) -> None:
    """An operation has finished whose thread belongs to the loop of another OS thread."""
    error = RuntimeError(f"{thread.name} waits on a socket that belongs to the loop of another OS thread")
    thread.scheduler.post(functools.partial(thread.scheduler.interrupt, thread, error))
    thread.scheduler.post(functools.partial(thread.scheduler.ready.append, thread))


def current_member() -> Member:
    """Return this OS thread's member, making it, and a scheduler, when there is none yet."""
    member = local.member
    if member is None:
        member = local.member = Member(current_scheduler())
    return member
