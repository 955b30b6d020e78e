"""How a thread runs: it is started, stepped to its next wait, and ended.

A member that is alone steps its threads in `_step`: one frame for all of them. With a crew, `_step_shared` steps one
thread: `_resume` runs it, and `_park` parks it under the lock, because another OS thread may resume it at once. Both
leave the rare cases to the same methods: `_go_on` if the wait has already ended or an interruption is pending,
`_refuse` if the thread cannot be parked, `_came_out` if the step raised. `_step_now` makes a step in the middle of
another one, inside newthread() or interrupt().

Must not know what kind of object a thread waits for, nor which poller is at work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from sys import exception
from types import GeneratorType
from typing import Any, Protocol, cast

from .coroutines import (
    are_new,
    check_callable,
    check_given,
    check_result,
    is_bad_call,
    is_coroutine,
    is_suspended,
    name_of,
    no_wait,
    steps_later,
    steps_of,
)
from .lock import lock
from .mending import scheduled_in
from .native import in_c
from .outcome import Finisher
from .scheduler import Scheduler
from .thread import Thread
from .wait import Join

# newthread() steps a thread inside the call if one OS thread serves the scheduler. If starts are nested more deeply
# than this, the thread goes into the ready queue.
_NESTED_STARTS_MAX = 64

# Set while debugging is on. Called with each thread before its first step, and with the thread that starts it.
starthook: Callable[[Thread[object], Thread[object] | None], Any] | None = None


class _Waitable(Protocol):
    def park(self, waiter: Any, /) -> bool: ...
    def cancel(self, error: BaseException, /) -> bool: ...


class Stepper(Finisher):
    """Runs threads of a scheduler in one OS thread.

    A signal handler may raise wherever the interpreter checks for signals. If only the interrupted frame knows what a
    thread has yielded, or how it has ended, that frame completes the change. mend() finds everything else.
    """

    __slots__ = ("current", "taken")  # for stepping.c

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.current: Thread[object] | None = None
        self.taken: Thread[object] | None = None  # taken from a crew's ready queue; its step has not begun
        self.running = False  # whether the loop runs
        self._nested = 0

    def is_between_steps(self) -> bool:
        """Whether this OS thread runs neither a thread nor the main program, but the code that steps threads."""
        return self.current is None and (self.running or self._nested > 0)

    def newthread(
        self, func: Any, args: tuple[Any, ...], name: str | None = None, join: Join | None = None
    ) -> Thread[Any]:
        """Start a thread. See loop.newthread(). `join` is a join of the thread from before its first step."""
        if name is None:
            name = getattr(func, "__qualname__", None) or name_of(func)
        thread: Thread[Any] = Thread(self.scheduler, func, name)
        if join is not None:
            join.begin(thread)
            thread._add_join(join)
        if self.current is not None and self.scheduler.crew is not None:
            self._start_later(thread, func, args)
        elif self.current is not None or self.running:
            self._start_now(thread, func, args)
        else:
            self._start_outside(thread, func, args)
            self._escape()
        return thread

    def _start_later(self, thread: Thread[object], func: Any, args: tuple[Any, ...]) -> None:
        """Let any member take the first step, because it may block. That step also calls a plain function."""
        thread._coro = steps_later(func, args)
        try:
            self._adopt(thread)
            self.scheduler.enqueue(thread)
        except BaseException:
            self._not_started(thread)
            raise

    def _start_now(self, thread: Thread[object], func: Any, args: tuple[Any, ...]) -> None:
        poller = self.scheduler.poller
        creator, streak = self.current, poller.streak
        outer, self._handled = self._handled, exception()
        try:
            if self._begin(thread, func, args):
                self.current = creator
                self._adopt(thread)
                self._step_now(thread)
        except BaseException:
            self._not_started(thread)
            raise
        finally:
            self.current, self._handled = creator, outer
            del outer  # its traceback may have this frame: avoid a cycle
            poller.streak = max(streak, poller.streak)  # the operations of the new thread count for its creator

    def _start_outside(self, thread: Thread[object], func: Any, args: tuple[Any, ...]) -> None:
        """Start a thread in an OS thread whose loop does not run."""
        scheduler = self.scheduler
        scheduler.poller.streak = 0
        with scheduler.entry:  # no OS thread can join meanwhile
            crew = scheduler.crew
            if crew is None:
                self._start_now(thread, func, args)
        if crew is not None:
            self._start_now(thread, func, args)
            crew.recheck()

    def _adopt(self, thread: Thread[object]) -> None:
        """Make `thread` one of the live threads of the scheduler."""
        if starthook is not None:
            starthook(thread, self.current)
        self.scheduler.threads[thread] = None

    def _not_started(self, thread: Thread[object]) -> None:
        """Forget `thread`, whose start failed. If a signal handler raised after its first step began, it goes on."""
        scheduler = self.scheduler
        with lock:
            if thread in scheduler.threads:
                if are_new(thread._coro) and thread not in scheduled_in(scheduler):
                    scheduler.threads.pop(thread, None)
                scheduler.mend_later()

    def _begin(self, thread: Thread[object], func: Any, args: tuple[Any, ...]) -> bool:
        """Call `func`. Return False if the thread has ended with that. If `func` cannot be called, raise the error."""
        if is_coroutine(func):
            check_given(func, args)
            thread._coro = steps_of(func)
            return True
        check_callable(func)
        self.current = thread
        try:
            made = thread._context.run(func, *args)
        except BaseException as error:
            if is_bad_call(error):
                raise
            self._end(thread, None, _from_inside(error))
            return False
        if not is_coroutine(made):
            check_result(func, made)
            self._end(thread, made, None)
            return False
        thread._coro = steps_of(made)
        return True

    def _step_now(self, thread: Thread[object]) -> None:
        """Step `thread` inside the current call. If such calls are nested too deeply, make it ready instead."""
        if self._nested >= _NESTED_STARTS_MAX:
            self.scheduler.ready.append(thread)
            return
        self._nested += 1
        self.current = None
        try:
            if self.scheduler.crew is None:
                step(self, (thread,))
            else:
                step_shared(self, thread)
        finally:
            self._nested -= 1

    def interrupt(self, thread: Thread[object], error: BaseException) -> None:
        """Do the same as Scheduler.interrupt(), but run `thread` inside this call if one OS thread serves it.

        Call this if `thread` should have reacted when the call returns, as at the end of a plain `with threadset()`.
        Otherwise call Scheduler.interrupt().
        """
        if self.scheduler.crew is not None:
            self.scheduler.interrupt(thread, error)
            return
        poller = self.scheduler.poller
        caller, streak = self.current, poller.streak
        outer, self._handled = self._handled, exception()
        try:
            if self.scheduler.interruptions.end_wait(thread, error):
                self._step_now(thread)
        except BaseException:
            self.scheduler.mend_later()
            raise
        finally:
            self.current, self._handled = caller, outer
            del outer
            poller.streak = max(streak, poller.streak)

    def _resume(self, thread: Thread[object], resume: Callable[[Any], _Waitable], argument: Any) -> None:
        """Run `thread` until it is parked, or to its end. `resume(argument)` is its send() or throw()."""
        while True:
            self.current = thread
            self.taken = None
            try:
                waiting = thread._context.run(resume, argument)
            except BaseException as error:
                steps = thread._coro
                try:
                    self._came_out(thread, error)
                except BaseException:
                    self._end_after_all(thread, steps, error)
                    raise
                finally:
                    del thread, steps  # see _step()
                return
            self.current = None  # see _step()
            begun = False
            try:
                with lock:
                    raised = self._park(thread, waiting)
                    begun = True
                    refused = thread.waiting_on is None
            except BaseException:
                if not begun:
                    self._park_after_all(thread, waiting)
                raise
            if raised is None:
                return
            try:
                if not refused:
                    raise raised
                resume, argument = thread._coro.throw, no_wait(thread.name, waiting, cast(Exception, raised))
            finally:
                del raised  # see _step()

    def _park(self, thread: Thread[object], waiting: _Waitable) -> BaseException | None:
        """Park `thread` on `waiting`, under the lock. Return what park() or a signal handler raised, or None.

        If `thread` could not be parked, its `waiting_on` is None afterwards.
        """
        try:
            finished = waiting.park(thread)
            thread.waiting_on = waiting
            if finished or thread._errors is not None:
                self._go_on(thread, waiting, finished)
        except BaseException as error:
            self.is_refused(thread, waiting, error)
            return error
        return None

    def is_refused(self, thread: Thread[object], waiting: Any, error: BaseException) -> bool:
        """Return whether park() itself raised `error`, so that `thread` is to be told.

        If a signal handler raised it, make sure that `thread` is parked, and return False.
        """
        is_parked = thread.waiting_on is waiting or getattr(waiting, "waiter", None) is thread
        if not is_parked or waiting is None:  # a bare `yield` yields None
            if isinstance(error, Exception):
                return True
            with suppress(Exception):
                waiting.park(thread)
        thread.waiting_on = waiting
        self.scheduler.mend_later()
        return False

    def _park_after_all(self, thread: Thread[object], waiting: _Waitable) -> None:
        """Park `thread`, because a signal handler raised before _park() began."""
        with lock:
            error = self._park(thread, waiting)
            refused = thread.waiting_on is None
        if refused:
            self._refuse(thread, waiting, cast(Exception, error))

    def _go_on(self, thread: Thread[object], waiting: _Waitable, finished: bool) -> None:
        """Handle a wait that had already ended when `thread` was parked, or that a pending interruption ends."""
        if finished:
            self.scheduler.ready.append(thread)
        if thread._errors is not None:
            self.scheduler.interruptions.look_for_lost(thread)
        if thread._errors and waiting.cancel(thread._errors[0]):
            self.scheduler.interruptions.take_first(thread)
            self.scheduler.ready.append(thread)

    def _refuse(self, thread: Thread[object], waiting: object, error: Exception) -> None:
        """Raise an error in `thread`, because it cannot be parked on what it yielded."""
        self._resume(thread, thread._coro.throw, no_wait(thread.name, waiting, error))

    def _misled(self, thread: Thread[object]) -> None:
        """Raise an error in `thread`, which belongs to another scheduler but waited for an operation of this poller."""
        error = RuntimeError(f"{thread.name} waits for a socket that belongs to the loop of another OS thread")
        try:
            thread.scheduler.post(functools.partial(thread.scheduler.interrupt, thread, error))
            thread.scheduler.post(functools.partial(thread.scheduler.ready.append, thread))
        except BaseException:
            thread.scheduler.mend_later()
            raise

    def _came_out(self, thread: Thread[object], error: BaseException) -> None:
        """Handle what a step of `thread` raised: StopIteration at its end, or another exception."""
        if is_suspended(thread._coro):  # a signal handler raised after the thread had yielded
            self._resume(thread, thread._coro.throw, error)
        elif isinstance(error, StopIteration):
            self._end(thread, error.value, None)
        else:
            self._end(thread, None, _from_inside(error))

    def _end_after_all(self, thread: Thread[object], steps: Any, error: BaseException) -> None:
        """End `thread`, if a signal handler raised in _came_out() before the end of the thread had begun."""
        self.scheduler.mend_later()
        if thread._coro is steps and not is_suspended(steps):
            self._came_out(thread, error)


def _step(stepper: Stepper, threads: Iterable[Thread[object]]) -> None:
    """Run each thread to its next wait, or to its end. This is the hot path, so it is written as one function."""
    scheduler = stepper.scheduler
    thread = waiting = coro = None
    for thread in threads:
        if thread.scheduler is not scheduler:
            stepper._misled(thread)
            continue
        if thread._errors is not None:
            scheduler.interruptions.before_interruption(thread)
        thread.waiting_on = None
        coro = thread._coro
        stepper.current = thread  # while this is None, the requests of signal handlers are posted
        try:
            if type(coro) is GeneratorType:
                waiting = thread._context.run(next, coro)  # like send(None), but it makes no object for each step
            else:
                waiting = thread._context.run(coro.send, None)
        except BaseException as error:
            try:
                stepper._came_out(thread, error)
            except BaseException:
                stepper._end_after_all(thread, coro, error)
                raise
            continue
        stepper.current = None
        try:
            finished = waiting.park(thread)
        except BaseException as error:
            if not stepper.is_refused(thread, waiting, error):
                raise
            stepper._refuse(thread, waiting, error)  # type: ignore[arg-type]
            continue
        thread.waiting_on = waiting
        if finished or thread._errors is not None:
            stepper._go_on(thread, waiting, finished)
    # A thread that failed has an error, whose traceback has this frame: avoid a cycle.
    thread = waiting = coro = None
    del threads


def _step_shared(stepper: Stepper, thread: Thread[object]) -> None:
    """Step one thread, as _step() does, while other OS threads serve the scheduler, too."""
    scheduler = stepper.scheduler
    if thread.scheduler is not scheduler:
        stepper._misled(thread)
        return
    with lock:
        if thread._errors is not None:
            scheduler.interruptions.before_interruption(thread)
        thread.waiting_on = None
        stepper.current = thread
    try:
        stepper._resume(thread, thread._coro.send, None)
    finally:
        stepper.current = None
        del thread  # see _step()


def _from_inside(error: BaseException) -> BaseException:
    """Remove the frame that caught the error from its traceback. That frame refers to the thread: avoid a cycle."""
    at = error.__traceback__
    return error.with_traceback(at.tb_next) if at is not None and at.tb_frame.f_globals is globals() else error


compiled = in_c("_stepping")
step: Callable[[Stepper, Iterable[Thread[object]]], None] = _step if compiled is None else compiled.step
step_shared: Callable[[Stepper, Thread[object]], None] = _step_shared if compiled is None else compiled.step_shared
