"""The loop of one OS thread, called a member of the scheduler that it serves.

In each turn it waits for events, timers and posted calls, and steps the threads that become ready. Each OS thread gets
a member and a scheduler when it first needs them. Must not know how members share the work: that is in crew.py.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection
from typing import Any, TypeVar, cast

from pollers import STREAK_MAX, Cancelled

from .crew import Bell
from .ctrl_c import CtrlC, make_calls, may_wake
from .mending import mend
from .scheduler import Scheduler, current_scheduler, local, other_os_threads
from .sniffed import Sniffed
from .stepping import Stepper, step
from .thread import Thread
from .timers import deadline_after
from .wait import Join

T = TypeVar("T")

# How often run() checks whether another OS thread is alive, while nothing else could wake its thread.
_CHECK_AGAIN_S = 0.5


class Member(Stepper):
    """The loop of one OS thread, which runs threads of a scheduler."""

    alone = 0
    """How many others in this OS thread need that no other OS thread serves the scheduler, too."""

    def __init__(self, scheduler: Scheduler, *, guest: bool = False) -> None:
        super().__init__(scheduler)
        self._guest = guest  # whether it leaves the scheduler when its start() or run() ends
        self._ctrl_c = CtrlC(scheduler.poller, self._wake)
        self._stopping = False
        self._main: Thread[object] | None = None  # the thread that run() waits for
        self._hooks: Any = None  # those of async generators, from before the loop
        self._sniffed = Sniffed()
        # For the crew: see CrewMember.
        self.bell = Bell()
        self.allowance = 0
        self.steps = 0

    # The loop.

    def stop(self) -> None:
        """See loop.stop()."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        """Make the loop check what it has to do. Signal handlers call this."""
        if self.scheduler.crew is None:
            self.scheduler.poller.wakeup()
        else:
            self.scheduler.crew.wake(self)

    def waits_for(self, thread: Thread[object]) -> bool:
        """Whether this is the thread that run() waits for."""
        return self._main is thread

    def has_reason_to_leave(self) -> bool:
        """Whether the loop is to end, or has something to do that is not the crew's."""
        if self._stopping or self._ctrl_c.noted > 0 or self._ctrl_c.calls or self._escaping is not None:
            return True
        # run() goes on when nothing is left to wait for, because another OS thread may still wake its thread.
        return self._main.done if self._main is not None else not self._anything_to_wait_for()

    def poll(self, timeout_s: float | None) -> bool:
        """See loop.poll()."""
        now = self.scheduler.now
        deadline = deadline_after(timeout_s, now)

        def poll() -> bool:
            while not self._stopping and self._anything_to_wait_for():
                if self._turn(deadline):
                    return True
                if deadline is not None and now() >= deadline:
                    return False
            return False

        happened = self._in_loop(poll, stays=True)
        self._raise_noted()
        return happened

    def start(self, timeout_s: float | None) -> bool:
        """See loop.start()."""
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

        deadline_after(timeout_s, now)  # raises an error for a bad timeout before anything else happens
        ended = self._in_loop(start)
        self._raise_noted()
        return ended

    def run(self, main: Any, args: tuple[Any, ...]) -> Any:
        """See loop.run()."""
        thread, leaving = self._in_loop(functools.partial(self._run_main, main, args))
        try:
            if thread.error is None or isinstance(thread.error, Cancelled):
                if isinstance(leaving, SystemExit):
                    raise leaving
                if leaving is not None:
                    raise KeyboardInterrupt
                self._raise_noted()
            self._ctrl_c.noted = 0
            return thread.result()
        finally:
            del leaving, thread  # the error's traceback has this frame: avoid a cycle

    def _run_main(self, main: Any, args: tuple[Any, ...]) -> tuple[Thread[Any], KeyboardInterrupt | SystemExit | None]:
        """Run `main` in a thread until this has ended. Return the thread, and what cancelled it: see _run()."""
        join = Join("run")
        self._main = thread = self.newthread(main, args, join=join)
        leaving: KeyboardInterrupt | SystemExit | None = None
        try:
            try:
                leaving = self._run(thread)
            finally:
                self._main = None
                thread._drop_join(join)
            return thread, leaving
        finally:
            del leaving, thread  # see run()

    def _run(self, thread: Thread[object]) -> KeyboardInterrupt | SystemExit | None:
        """Run the loop until `thread` has ended. Return the Ctrl-C or SystemExit that cancelled it, if any.

        One that comes when it has just ended counts, too. A second one is raised at once. What else a signal handler
        raises leaves the loop and cancels nothing.
        """
        leaving: KeyboardInterrupt | SystemExit | None = None
        try:
            while True:
                try:
                    self._turn_until_done(thread)
                    return leaving
                except (KeyboardInterrupt, SystemExit) as error:
                    self._mend_after_error()
                    if not thread._cancel():  # it has ended, perhaps with this very error
                        return leaving or error
                    if leaving is not None:
                        raise
                    leaving = error
        finally:
            del leaving, thread  # see run()

    def _mend_after_error(self) -> None:
        """Prepare for another turn, although a signal handler may have raised at any point of the previous one."""
        if self.scheduler.crew is not None:
            self.scheduler.crew.step_back(self)
        self.scheduler.mend_later()

    def _turn_until_done(self, thread: Thread[object]) -> None:
        hopeless = False
        try:
            while True:  # see lock.py
                if thread.done:
                    break
                if self._stopping:
                    raise RuntimeError(f"stop() was called before {thread!r} had ended")
                check_again = None
                was_hopeless, hopeless = hopeless, not self._anything_to_wait_for()
                if hopeless:  # every live thread is in a hopeless wait: only another OS thread could end one
                    if not other_os_threads() and not may_wake():
                        raise RuntimeError(f"deadlock: nothing is left that could wake {thread!r}")
                    check_again = self.scheduler.now() + _CHECK_AGAIN_S
                    if not was_hopeless and self.scheduler.crew is not None:
                        self.scheduler.crew.recheck()
                self._turn(check_again)
            self._escape()
        finally:
            del thread  # see run()

    def _anything_to_wait_for(self) -> bool:
        return self._escaping is not None or self.scheduler.anything_to_wait_for()

    def _turn(self, deadline: float | None) -> bool:
        """Wait for something to happen, at most until `deadline`, and step the threads that become ready.

        Return whether anything happened: a thread became ready, or a timer fired. A posted call counts only if it makes
        a thread ready, with or without a crew.
        """
        crew = self.scheduler.crew
        happened = self._turn_alone(deadline) if crew is None else crew.turn(self, deadline)
        if self._ctrl_c.calls:
            make_calls()
        if self._ctrl_c.noted:
            self._raise_noted()
        self._escape()
        return happened

    def _raise_noted(self) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C has been noted."""
        if self._ctrl_c.noted:
            self._ctrl_c.noted = 0
            raise KeyboardInterrupt

    def _turn_alone(self, deadline: float | None) -> bool:
        """Make a turn as the only member. With a crew, Crew.turn() does."""
        scheduler = self.scheduler
        happened = self._step_all(scheduler.poller.poll(self.wait_s(deadline)))
        if scheduler.timers.heap and scheduler.timers.fire():
            happened = True
        self.make_posted_calls()
        if scheduler.ready and scheduler.crew is None:  # a posted call may have made a crew
            happened = True
            batch: deque[Any] = deque()
            batch, scheduler.ready = scheduler.ready, batch  # a signal handler appends to one of the two
            try:
                self._step_all(batch)
            finally:
                del batch  # see _step_all()
        return happened

    def make_posted_calls(self) -> None:
        """Make the calls that have been posted until now, but not too many at a time. The next turn does not wait."""
        inbox = self.scheduler.inbox
        if not inbox:
            return
        for _ in range(min(len(inbox), STREAK_MAX)):
            if not self.scheduler.make_call():
                break

    def wait_s(self, deadline: float | None) -> float | None:
        """Return how long the poller may wait: 0 if something else is to be done, None for no limit."""
        scheduler = self.scheduler
        if scheduler.ready or scheduler.inbox or self._ctrl_c.noted or self._escaping is not None:
            return 0
        if self._ctrl_c.calls:
            return 0
        due = scheduler.timers.next_due()
        if due is None or (deadline is not None and deadline < due):
            due = deadline
        return None if due is None else max(due - scheduler.now(), 0)

    def _step_all(self, threads: Collection[Thread[object]]) -> bool:
        """Step the threads. Return False if there are none.

        If a signal handler raises, the threads that are left go back to the front of the ready queue, in their order.
        """
        self.scheduler.poller.streak = 0  # the other threads have had their turn
        if not threads:
            return False
        rest = iter(threads)
        del threads  # the error of a thread has this frame in its traceback: avoid a cycle
        try:
            step(self, rest)
        except BaseException:
            self.scheduler.ready.extendleft(reversed(list(rest)))
            raise
        finally:
            self.current = None
            del rest  # the iterator of a deque keeps the deque alive
        return True

    def _in_loop(self, body: Callable[[], T], stays: bool = False) -> T:
        """Run `body`, which is the loop. A guest then leaves the scheduler, unless it `stays`."""
        if self.running:
            raise RuntimeError("the loop of this OS thread is already running")
        if self.current is not None:
            raise RuntimeError("called inside a thread: the loop can be run only outside of threads")
        leaving = _Leaving(self, stays)
        with leaving, leaving, leaving, leaving, leaving:  # signal handlers may raise in one after the other
            self._enter()
            result = body()
        try:
            return result
        finally:
            del result  # see run()

    def _enter(self) -> None:
        self.running = True
        self.scheduler.has_run = True
        self._ctrl_c.begin()
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        self._sniffed.begin()
        scheduler = self.scheduler
        with scheduler.entry:
            scheduler.loops.append(self)
            if scheduler.crew is not None:
                scheduler.crew.enter(self)

    def _leave(self, stays: bool) -> None:
        """Undo as much of _enter() as was done. A second call completes a first one that was interrupted."""
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
        if not stays and not scheduler.loops:
            scheduler.loop_ended()
        if self._hooks is not None:
            sys.set_asyncgen_hooks(*self._hooks)
            self._hooks = None
        self._sniffed.end()
        if self._guest and not stays:
            local.scheduler = local.member = None
        self._ctrl_c.end()
        self.running = False

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an async generator that was dropped before its end. In a thread, because its cleanup may wait."""
        self.scheduler.post(functools.partial(_newthread, generator.aclose))

    def close(self) -> None:
        """Cancel all threads, step them as long as any is ready, and shut the poller down. It is the last call."""

        def cancel_all() -> None:
            mend(self.scheduler)
            for thread in list(self.scheduler.threads):
                thread._cancel()
            while self.scheduler.ready:
                self._turn(0)

        self._in_loop(cancel_all)
        self.scheduler.poller.shutdown()


class _Leaving:
    """A block in which the loop runs. At its end the loop is left. A second end completes one that was interrupted."""

    __slots__ = ("_member", "_mends", "_stays")

    def __init__(self, member: Member, stays: bool) -> None:
        self._member = member
        self._stays = stays
        self._mends = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not self._mends:
            self._member.scheduler.mend_later()
            self._mends = True
        self._member._leave(self._stays)


def _newthread(func: Callable[[], Any]) -> None:
    current_member().newthread(func, ())


def current_member() -> Member:
    """Return the member of this OS thread. The first call makes it, and the scheduler if there is none."""
    member = local.member
    if member is None:
        member = local.member = Member(current_scheduler())
    return cast(Member, member)
