"""How a thread runs: started, stepped to its next wait, and ended, one at a time in an OS thread.

A thread yields what it waits for: a poller's Direction, or a Wait. That is asked to `park`, and nobody here knows which
it was, nor which poller is at work. An exception that nobody joins is reported where it happens, and all else goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import GeneratorType
from typing import Any, Protocol, cast

from .coroutines import (
    are_new,
    check_callable,
    check_no_args,
    check_result,
    is_bad_call,
    is_coroutine,
    is_suspended,
    no_wait,
    steps_later,
    steps_of,
)
from .lock import lock
from .mending import places
from .native import in_c
from .outcome import Finisher
from .scheduler import Scheduler
from .thread import Thread
from .wait import Join

# newthread steps a thread inside the call, if one OS thread serves it. Deeper than this, one inside the other, it is
# left to the next turn.
_NESTED_STARTS_MAX = 64

# Called, while debugging is on, with each thread that is about to take its first step, and with who starts it.
starthook: Callable[[Thread, Thread | None], Any] | None = None


class _Waitable(Protocol):
    def park(self, waiter: Any, /) -> bool: ...
    def cancel(self, error: BaseException, /) -> bool: ...


class Stepper(Finisher):
    """Runs threads of a scheduler in one OS thread.

    A signal handler may raise wherever the interpreter looks for signals. What only the frame that is broken off knows,
    what a thread has yielded or how it has ended, is seen to there. The rest is found by mend().
    """

    __slots__ = ("current", "taken")  # for stepping.c

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.current: Thread | None = None
        self.taken: Thread | None = None  # from the ready queue of a crew, and its step has not begun
        self.running = False  # the loop, which steps most of them
        self._nested = 0

    def is_between_steps(self) -> bool:
        """Whether neither a thread nor the main program is what runs now, but what runs them."""
        return self.current is None and (self.running or self._nested > 0)

    def newthread(self, func: Any, args: tuple[Any, ...], name: str | None = None, join: Join | None = None) -> Thread:
        """See the module's newthread(). `join` joins the thread, and knows it, from before its first step on."""
        thread = Thread(self.scheduler, func, name if name is not None else getattr(func, "__qualname__", None))
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

    def _start_later(self, thread: Thread, func: Any, args: tuple[Any, ...]) -> None:
        """Leave it to any member: its first step may block, and so may the call, if it is of a plain function."""
        thread._coro = steps_later(func, args)
        try:
            self._adopt(thread)
            self.scheduler.enqueue(thread)
        except BaseException:
            self._not_started(thread)
            raise

    def _start_now(self, thread: Thread, func: Any, args: tuple[Any, ...]) -> None:
        poller = self.scheduler.poller
        creator, streak = self.current, poller.streak
        try:
            if self._begin(thread, func, args):
                self.current = creator
                self._adopt(thread)
                self._step_now(thread)
        except BaseException:
            self._not_started(thread)
            raise
        finally:
            self.current = creator
            poller.streak = max(streak, poller.streak)  # what the new thread did counts as the creator's

    def _start_outside(self, thread: Thread, func: Any, args: tuple[Any, ...]) -> None:
        """Start it in an OS thread whose loop does not run, and which may be no member of those that do."""
        scheduler = self.scheduler
        scheduler.poller.streak = 0
        with scheduler.entry:  # nobody joins meanwhile
            crew = scheduler.crew
            if crew is None:
                self._start_now(thread, func, args)
        if crew is not None:
            self._start_now(thread, func, args)
            crew.recheck()

    def _adopt(self, thread: Thread) -> None:
        if starthook is not None:
            starthook(thread, self.current)
        self.scheduler.threads[thread] = None

    def _not_started(self, thread: Thread) -> None:
        """The start of `thread` has failed, or was broken off: then it may have begun, and goes on."""
        scheduler = self.scheduler
        with lock:
            if thread in scheduler.threads:
                if are_new(thread._coro) and thread not in places(scheduler):
                    scheduler.threads.pop(thread, None)
                scheduler.doubt()

    def _begin(self, thread: Thread, func: Any, args: tuple[Any, ...]) -> bool:
        """Call `func`. False: that was all, and the thread has ended. An error of the call itself is the caller's."""
        if is_coroutine(func):
            check_no_args(args)
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

    def _step_now(self, thread: Thread) -> None:
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

    def interrupt(self, thread: Thread, error: BaseException) -> None:
        """As Scheduler.interrupt(), and what `thread` does then it does inside this call, if nobody else serves it."""
        if self.scheduler.crew is not None:
            self.scheduler.interrupt(thread, error)
            return
        poller = self.scheduler.poller
        caller, streak = self.current, poller.streak
        try:
            if self.scheduler.interruptions.end_wait(thread, error):
                self._step_now(thread)
        except BaseException:
            self.scheduler.doubt()
            raise
        finally:
            self.current = caller
            poller.streak = max(streak, poller.streak)

    def _resume(self, thread: Thread, resume: Callable[[Any], _Waitable], argument: Any) -> None:
        """Run `thread` until it waits for something that it can be parked on, or to its end."""
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

    def _park(self, thread: Thread, waiting: _Waitable) -> BaseException | None:
        """Return what was raised: by park(), and then `thread` waits for nothing, or by a signal handler."""
        try:
            finished = waiting.park(thread)
            thread.waiting_on = waiting
            if finished or thread._errors is not None:
                self._go_on(thread, waiting, finished)
        except BaseException as error:
            self.is_refused(thread, waiting, error)
            return error
        return None

    def is_refused(self, thread: Thread, waiting: Any, error: BaseException) -> bool:
        """park() has raised. True: that is for the thread. False: a signal handler has, and the thread is parked."""
        is_parked = thread.waiting_on is waiting or getattr(waiting, "waiter", None) is thread
        if not is_parked or waiting is None:  # a bare `yield` yields None
            if isinstance(error, Exception):
                return True
            with suppress(Exception):
                waiting.park(thread)
        thread.waiting_on = waiting
        self.scheduler.doubt()
        return False

    def _park_after_all(self, thread: Thread, waiting: _Waitable) -> None:
        """A signal handler has raised before that was begun."""
        with lock:
            error = self._park(thread, waiting)
            refused = thread.waiting_on is None
        if refused:
            self._refuse(thread, waiting, cast(Exception, error))

    def _go_on(self, thread: Thread, waiting: _Waitable, finished: bool) -> None:
        """What `thread` was parked on has finished already, or is to be interrupted."""
        if finished:
            self.scheduler.ready.append(thread)
        if thread._errors is not None:
            self.scheduler.interruptions.look_for_lost(thread)
        if thread._errors and waiting.cancel(thread._errors[0]):
            self.scheduler.interruptions.take_first(thread)
            self.scheduler.ready.append(thread)

    def _refuse(self, thread: Thread, waiting: object, error: Exception) -> None:
        """`thread` cannot be parked on what it has yielded: have it raised there."""
        self._resume(thread, thread._coro.throw, no_wait(thread.name, waiting, error))

    def _misled(self, thread: Thread) -> None:
        """An operation has finished whose thread belongs to the loop of another OS thread."""
        error = RuntimeError(f"{thread.name} waits on a socket that belongs to the loop of another OS thread")
        try:
            thread.scheduler.post(functools.partial(thread.scheduler.interrupt, thread, error))
            thread.scheduler.post(functools.partial(thread.scheduler.ready.append, thread))
        except BaseException:
            thread.scheduler.doubt()
            raise

    def _came_out(self, thread: Thread, error: BaseException) -> None:
        """What a step of `thread` has raised: StopIteration at its end, or an error."""
        if is_suspended(thread._coro):  # it has yielded: a signal handler raised after that
            self._resume(thread, thread._coro.throw, error)
        elif isinstance(error, StopIteration):
            self._end(thread, error.value, None)
        else:
            self._end(thread, None, _from_inside(error))

    def _end_after_all(self, thread: Thread, steps: Any, error: BaseException) -> None:
        """A signal handler has raised in _came_out(), perhaps before the end was begun."""
        self.scheduler.doubt()
        if thread._coro is steps and not is_suspended(steps):
            self._came_out(thread, error)


def _step(stepper: Stepper, threads: Iterable[Thread]) -> None:
    """Run each thread to its next wait, or to its end. Every request comes through here: hence in one frame."""
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
        stepper.current = thread  # until then, and from the next wait on, a signal handler's wishes are seen to later
        try:
            if type(coro) is GeneratorType:
                waiting = thread._context.run(next, coro)  # as send(None), which would make an object for each step
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
    # An error has this frame behind its own, and the thread that it has ended has the error: no cycle.
    thread = waiting = coro = None
    del threads


def _step_shared(stepper: Stepper, thread: Thread) -> None:
    """As _step(), while other OS threads are at work: parked, the thread may go on in any of them at once."""
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
    """As it left the thread: without the frame that has caught it, which holds the thread, which holds the error."""
    at = error.__traceback__
    return error.with_traceback(at.tb_next) if at is not None and at.tb_frame.f_globals is globals() else error


_compiled = in_c("_stepping")
step: Callable[[Stepper, Iterable[Thread]], None] = _step if _compiled is None else _compiled.step
step_shared: Callable[[Stepper, Thread], None] = _step_shared if _compiled is None else _compiled.step_shared
