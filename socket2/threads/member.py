"""One OS thread's part in running threads: its loop.

Waits for what the poller, the timers and the other OS threads have to tell, and steps the threads that it concerns.
Each OS thread has a member, and a scheduler, of its own, made when they are first needed.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection
from typing import Any, TypeVar, cast

from pollers import Cancelled

from .crew import Bell
from .ctrl_c import CtrlC, make_calls, may_wake
from .mending import mend
from .scheduler import Scheduler, current_scheduler, local, other_os_threads
from .stepping import Stepper, step
from .thread import Thread
from .timers import deadline_after
from .wait import Join

T = TypeVar("T")

# While only another OS thread could wake run()'s thread: how often to see whether there is one.
_LOOK_AGAIN_S = 0.5


class Member(Stepper):
    """An OS thread that runs the threads of a scheduler."""

    def __init__(self, scheduler: Scheduler, *, guest: bool = False) -> None:
        super().__init__(scheduler)
        self._guest = guest  # in a scheduler of another OS thread, until its start() or run() ends
        self._ctrl_c = CtrlC(scheduler.poller, self._wake)
        self._stopping = False
        self._main: Thread | None = None  # run()'s
        self._hooks: Any = None  # those of async generators, as they were before the loop
        # What is for the crew:
        self.bell = Bell()
        self.allowance = 0  # steps until it is to poll again, when it leads
        self.steps = 0

    # The loop.

    def stop(self) -> None:
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        if self.scheduler.crew is None:
            self.scheduler.poller.wakeup()
        else:
            self.scheduler.crew.wake(self)

    def waits_for(self, thread: Thread) -> bool:
        return self._main is thread

    def has_reason_to_leave(self) -> bool:
        """Whether the loop has something else to do than to wait, or is over."""
        if self._stopping or self._ctrl_c.noted > 0 or self._ctrl_c.calls or self._escaping is not None:
            return True
        # run() waits on when nothing is left to wait for: another OS thread may bring something.
        return self._main.done if self._main is not None else not self._anything_to_wait_for()

    def poll(self, timeout_s: float | None) -> bool:
        now = self.scheduler.now
        deadline = deadline_after(timeout_s, now)

        def poll() -> bool:
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    return True
                if deadline is not None and now() >= deadline:
                    return False
            return False

        return self._in_loop(poll, stays=True)

    def start(self, timeout_s: float | None) -> bool:
        now = self.scheduler.now

        def start() -> bool:
            deadline = deadline_after(timeout_s, now)
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    if deadline is not None:
                        deadline = deadline_after(timeout_s, now)
                elif deadline is not None and now() >= deadline:
                    return False
            return True

        deadline_after(timeout_s, now)  # raises what is wrong with it first
        return self._in_loop(start)

    def run(self, main: Any, *args: Any) -> Any:
        thread, interrupted = self._in_loop(functools.partial(self._run_main, main, args))
        if interrupted and isinstance(thread.error, Cancelled):
            raise KeyboardInterrupt
        return thread.result()

    def _run_main(self, main: Any, args: tuple[Any, ...]) -> tuple[Thread, bool]:
        """Return the thread of `main`, which has ended, and whether a Ctrl-C has cancelled it."""
        join = Join("run")
        self._main = thread = self.newthread(main, args, join=join)
        try:
            interrupted = self._run(thread)
        finally:
            self._main = None
            thread._drop_join(join)
        if self._escaping is thread.error:
            self._escaping = None
        self._escape()
        return thread, interrupted

    def _run(self, thread: Thread) -> bool:
        """Loop until `thread` has ended; return whether a Ctrl-C has cancelled it."""
        interrupted = forlorn = False
        while not thread.done:
            if self._stopping:
                raise RuntimeError(f"stop() was called before {thread!r} had ended")
            look_again = None
            was_forlorn, forlorn = forlorn, not self._anything_to_wait_for()
            if forlorn:  # nothing but another OS thread could wake it
                if not other_os_threads() and not may_wake():
                    raise RuntimeError(f"deadlock: nothing is left that could wake {thread!r}")
                look_again = self.scheduler.now() + _LOOK_AGAIN_S
                if not was_forlorn and self.scheduler.crew is not None:
                    self.scheduler.crew.recheck()
            try:
                self._turn(look_again)
            except KeyboardInterrupt:
                if self.scheduler.crew is not None:
                    self.scheduler.crew.step_back(self)
                self.scheduler.doubt()
                if interrupted or thread.done:
                    raise
                interrupted = thread._cancel()
        return interrupted

    def _anything_to_wait_for(self) -> bool:
        return self._escaping is not None or self.scheduler.anything_to_wait_for()

    def _turn(self, deadline: float | None) -> bool:
        """Wait until `deadline` at the longest for something to happen; step every thread that it concerns."""
        crew = self.scheduler.crew
        happened = self._turn_alone(deadline) if crew is None else crew.turn(self, deadline)
        if self._ctrl_c.calls:
            make_calls()
        if self._ctrl_c.noted:
            self._ctrl_c.noted = 0
            raise KeyboardInterrupt
        self._escape()
        return happened

    def _turn_alone(self, deadline: float | None) -> bool:
        scheduler = self.scheduler
        happened = self._step_all(scheduler.poller.poll(self.wait_s(deadline)))
        if scheduler.timers.heap and scheduler.timers.fire():
            happened = True
        self.make_posted_calls()
        if scheduler.ready and scheduler.crew is None:  # else this has been a private loop for the last time
            happened = True
            batch, later = scheduler.ready, deque[Any]()  # of these one, if a signal handler appends in between
            scheduler.ready = later
            self._step_all(batch)
        return happened

    def make_posted_calls(self) -> bool:
        """Make the calls that were posted until now; return whether there were any."""
        made = False
        for _ in range(len(self.scheduler.inbox)):
            if not self.scheduler.make_call():
                break
            made = True
        return made

    def wait_s(self, deadline: float | None) -> float | None:
        """How long to wait for the kernel: not at all when there is something else to do, None for ever."""
        scheduler = self.scheduler
        if scheduler.ready or scheduler.inbox or self._ctrl_c.noted or self._escaping is not None:
            return 0
        if self._ctrl_c.calls:
            return 0
        due = scheduler.timers.next_due()
        if due is None or (deadline is not None and deadline < due):
            due = deadline
        return None if due is None else max(due - scheduler.now(), 0)

    def _step_all(self, threads: Collection[Thread]) -> bool:
        """Step them, if there are any; those that a signal's exception leaves over stay ready, in their order."""
        self.scheduler.poller.streak = 0  # everybody has had a chance
        if not threads:
            return False
        rest = iter(threads)
        del threads  # an error has this frame behind its own, and the thread it has ended has the error: no cycle
        try:
            step(self, rest)
        except BaseException:
            self.scheduler.ready.extendleft(reversed(list(rest)))
            raise
        finally:
            self.current = None
            del rest  # which holds them to the end, if it is a deque's
        return True

    def _in_loop(self, body: Callable[[], T], stays: bool = False) -> T:
        """Run `body`, the loop. A guest goes after that, if it `stays` not: its OS thread is on its own again."""
        if self.running:
            raise RuntimeError("the loop of this OS thread is running already")
        if self.current is not None:
            raise RuntimeError("called inside a thread: only an OS thread that is no coroutine thread runs the loop")
        try:
            try:
                self._enter()
                result = body()
            finally:
                self._leave(stays)
        except BaseException:
            self._leave(stays)  # what is left of it, if a signal handler has raised in its midst
            self.scheduler.doubt()
            raise
        if self._ctrl_c.noted:
            self._ctrl_c.noted = 0
            raise KeyboardInterrupt
        return result

    def _enter(self) -> None:
        self.running = True
        self._ctrl_c.begin()
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        scheduler = self.scheduler
        with scheduler.entry:
            scheduler.loops.append(self)
            if scheduler.crew is not None:
                scheduler.crew.enter(self)

    def _leave(self, stays: bool) -> None:
        """Undo as much of _enter() as was done. May be done twice."""
        if not self.running:
            return
        scheduler = self.scheduler
        with scheduler.entry:
            if self in scheduler.loops:
                scheduler.loops.remove(self)
            if scheduler.crew is not None:
                scheduler.crew.leave(self)
            self._main = self.current = self.taken = None
            self._nested = 0
            self._stopping = False
        if self._hooks is not None:
            sys.set_asyncgen_hooks(*self._hooks)
            self._hooks = None
        if self._guest and not stays:
            local.scheduler = local.member = None
        self._ctrl_c.end()
        self.running = False

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """An async generator was dropped before its end: what it has to clean up may have to wait."""
        self.scheduler.post(functools.partial(_newthread, generator.aclose))

    def close(self) -> None:
        """Cancel all threads, give them a turn to end, shut the poller down. For OS threads that are done with it."""

        def cancel_all() -> None:
            mend(self.scheduler)
            for thread in list(self.scheduler.threads):
                thread._cancel()
            while self.scheduler.ready:
                self._turn(0)

        self._in_loop(cancel_all)
        self.scheduler.poller.shutdown()


def _newthread(func: Callable[[], Any]) -> None:
    current_member().newthread(func, ())


def current_member() -> Member:
    """Return this OS thread's member, making it, and a scheduler, when there is none yet."""
    member = local.member
    if member is None:
        member = local.member = Member(current_scheduler())
    return cast(Member, member)
