"""Scopes: blocks with a deadline that can be moved, that can be cancelled, and that can shield what is in them.

A scope interrupts its thread as a Deadline does, and takes its own interruption back at its end. A shield holds back
the interruptions that are meant for something outside it: cancellation.py. Must not know what the thread waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from pollers import Cancelled, Unique

from .cancellation import Nested
from .deadline import Deadline, timeout_error
from .lock import lock
from .scheduler import local
from .thread import Thread, currentthread
from .timers import duration, moment


class _Scope(Deadline, Unique):
    """What `scope` and `timeout` have in common."""

    __slots__ = ("_given", "_left", "_outer", "_seconds", "_shield", "_when", "cancelled", "cut_short")

    def __init__(self, seconds: float | None, *, shield: bool = False) -> None:
        super().__init__()
        self._seconds = None if seconds is None else duration(seconds)
        self._given: float | None = None  # the deadline for each time that the block is entered
        self._when: float | None = None  # the present one
        self._shield = shield if shield is False else _checked(shield)
        self._left = self.cancelled = self.cut_short = False

    # What any thread may do.

    @property
    def deadline(self) -> float | None:
        """When the block expires, on the clock of now(). None: never.

        Set it at any time to move it, in any OS thread and any signal handler. This replaces the time that was given
        to the scope. A block that has expired stays so. Raises TypeError if it is not a number; ValueError if it is
        NaN.
        """
        return self._given if self._when is None else self._when

    @deadline.setter
    def deadline(self, when: float | None) -> None:
        when = None if when is None else moment(when)
        with lock:
            thread = self._thread
            self._given = self._when = when
            self._seconds = None
        if thread is not None:
            _have_done(thread, self._move)

    @property
    def shield(self) -> bool:
        """Whether the block holds back interruptions that are meant for something outside it.

        It can be set at any time, in any OS thread and any signal handler. If it becomes False while the block waits,
        an interruption that has been held back ends this wait. Raises TypeError if it is not a bool.
        """
        return self._shield

    @shield.setter
    def shield(self, shield: bool) -> None:
        self._shield = _checked(shield)
        thread = self._thread
        if thread is not None:
            _have_done(thread, self._sort)

    def cancel(self) -> None:
        """Raise Cancelled in the block, at its current wait or else at its next one.

        This happens once, so the cleanup in the block may wait. A second call does nothing. If the block has not been
        entered yet, its first wait raises Cancelled. After its end, nothing happens. Any OS thread and any signal
        handler may call this.
        """
        with lock:
            if self._left:
                return
            self.cancelled = True
            thread = self._thread
        if thread is not None:
            _have_done(thread, self._interrupt)

    # The same in the OS thread and at the time where it can be done. Meanwhile the block may have been left.

    def _move(self) -> None:
        with lock:
            if self._thread is None or self.expired:
                return
            if self._when is None:
                self.disarm()
            else:
                self.arm(self._when)

    def _interrupt(self) -> None:
        with lock:
            thread = self._thread
            if thread is not None and self.cancelled:
                self.interrupt("the block was cancelled")
                if thread.waiting_on is None:
                    thread.scheduler.interruptions.make_next_operation_yield()

    def _sort(self) -> None:
        thread = self._thread
        if thread is not None:
            _sort(thread)

    # The block.

    def __enter__(self) -> Self:
        thread = currentthread()
        scheduler = thread.scheduler
        when = given = self._given
        seconds = self._seconds
        if seconds is not None:
            limit = scheduler.now() + seconds
            when = limit if when is None or limit < when else when
        if not self.enter(thread, when):
            raise RuntimeError(f"this {type(self).__name__} block has already been entered")
        try:
            self._when = when
            interruptions = scheduler.interruptions
            interruptions.raised += 1  # what begins from here on is inside
            self._outer: Nested | None = interruptions.scopes.get(thread)
            interruptions.scopes[thread] = self
            if self._left or self._shield or self.cancelled or self._given is not given or self._seconds is not seconds:
                self._begin(thread)
        except BaseException:
            self.give_up()
            raise
        return self

    def _begin(self, thread: Thread[Any]) -> None:
        """Do what few blocks need when they are entered. A signal handler may have changed them in the meantime."""
        with lock:
            if self._left:
                self._left = self.cancelled = self.cut_short = False  # it is used again
            if self._seconds is None:
                self._when = self._given
                self._move()
        if self._shield:
            thread.scheduler.interruptions.hold_back(thread)
        self._interrupt()

    def _end(self, error: BaseException | None, swallows: bool) -> Cancelled | None:
        """End the block, which `error` leaves, and which `swallows` its own interruption.

        Return an interruption to raise instead of the own one, or None. `cut_short` is then whether this was `error`.
        """
        thread: Thread[Any] | None = self._thread
        instead: Cancelled | None = None
        try:
            member = local.member
            if thread is None or member is None or member.current is not thread:
                self._end_out_of_order(thread, error)
                return None
            interruptions = thread.scheduler.interruptions
            scopes = interruptions.scopes
            if scopes.get(thread) is not self:
                self._end_out_of_order(thread, error)
                return None
            ours = error is not None and error is self._error
            instead = self.leave(error, swallows)
            if ours:
                if swallows and instead is None:
                    instead = interruptions.take_pending(thread)
                self.cut_short = instead is None
            if self._outer is None:
                del scopes[thread]
            else:
                scopes[thread] = self._outer
            self._left = True
            if self._shield:
                _sort(thread)
        except BaseException:
            if thread is not None:
                self._give_up(thread)
            raise
        return instead

    def _end_out_of_order(self, thread: Thread[Any] | None, error: BaseException | None) -> None:
        """End the block in the wrong thread, or before a block in it. Raise RuntimeError if no error is on its way."""
        ours = error is not None and error is self._error
        if thread is None:
            problem = "has not been entered, or has already been left"
        else:
            current = local.member.current if local.member is not None else None
            if current is thread:
                problem = "was left before another block that was entered in it"
            else:
                by = f"by {current.name!r}" if current is not None else "outside of threads"
                problem = f"was entered by {thread.name!r}, but left {by}"
            self._give_up(thread)
        if ours or error is None:
            raise RuntimeError(f"this {type(self).__name__} block {problem}")

    def give_up(self) -> None:
        thread = self._thread
        if thread is not None:
            self._give_up(thread)

    def _give_up(self, thread: Thread[Any]) -> None:
        """Do what _end() has not done yet, after a signal handler raised in it, or when it is the wrong time for it."""
        self._unlink(thread)
        super().give_up()
        self._left = True
        if self._shield:
            _sort(thread)

    def _unlink(self, thread: Thread[Any]) -> None:
        """Take this scope out of the chain of its thread."""
        with lock:
            scopes = thread.scheduler.interruptions.scopes
            inner: Any = scopes.get(thread)
            if inner is not self:
                self._unlink_from(inner)
            elif self._outer is None:
                del scopes[thread]
            else:
                scopes[thread] = self._outer

    def _unlink_from(self, inner: Any) -> None:
        while inner is not None:
            if inner._outer is self:
                inner._outer = self._outer
            inner = inner._outer

    def __repr__(self) -> str:
        thread = self._thread
        state = f"in {thread.name!r}" if thread is not None else "left" if self._left else "not entered"
        words = [word for word in ("shield", "cancelled", "expired") if getattr(self, word)]
        return f"<{', '.join([f'{type(self).__name__} {state}', *words])}>"


_Scope.__init__.__qualname__ = "timeout.__init__"  # the error of a wrong call has it; scope passes only what is right


class scope(_Scope):
    """A block that can be cancelled: `with scope() as s: ...`, and `s.cancel()` anywhere.

    It also ends when `timeout_s` seconds have passed since it was entered, and at `deadline` on the clock of now(), if
    these are given: the sooner counts. Then, or after cancel(), the current or next wait in the block raises Cancelled.
    The end of the block swallows this, and the program goes on behind it. `cut_short` is then True. `cancelled` is True
    after cancel(), `expired` when the time was over, even if the block came to its end before its next wait. The
    deadline can be moved: `s.deadline = now() + 5`.

    With `shield`, nothing from outside interrupts the block: no Thread.cancel(), no scope or timeout around it, and no
    Ctrl-C. Such an interruption is raised at the first wait after the block. The block's own limits, and those of
    blocks in it, still apply. So a cleanup can wait, and yet have a limit.

    Blocks may be nested. An interruption of an outer block passes through the inner ones. Raises TypeError if a time is
    not a number or `shield` is not a bool; ValueError if `timeout_s` is negative, or a time is NaN; RuntimeError
    outside a thread, if the block has already been entered, if another thread leaves it, or if it is left before a
    block in it.
    """

    __slots__ = ()

    def __init__(self, timeout_s: float | None = None, *, deadline: float | None = None, shield: bool = False) -> None:
        super().__init__(timeout_s, shield=shield)
        self._given = None if deadline is None else moment(deadline)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        instead = self._end(error, True)
        if instead is None:
            return self.cut_short
        try:
            raise instead from None
        finally:
            del self, error, at, instead  # an error's traceback has this frame: avoid a cycle


class timeout(_Scope):
    """A block that raises TimeoutError if it takes longer than `seconds`: `with timeout(5): ...`. None means no limit.

    When the time is over, the current or next wait in the block raises Cancelled. This becomes TimeoutError at the end
    of the block. Code in between can clean up, and an `except TimeoutError` for an inner timeout does not catch it. An
    interrupted operation leaves behind what it leaves after a cancellation. A block that does not wait any more ends
    normally, however late. `expired` is True if the time was over. Blocks may be nested.

    It also has the other attributes of a `scope`. After cancel(), too, the end of the block raises TimeoutError.

    Raises TypeError if `seconds` is not a number or `shield` is not a bool; ValueError if `seconds` is negative or NaN;
    RuntimeError as `scope` does.
    """

    __slots__ = ()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        instead: BaseException | None = self._end(error, False)
        if not self.cut_short and instead is None:
            return
        try:
            raise instead or timeout_error(self._reason(), error) from None
        finally:
            del self, error, at, instead  # an error's traceback has this frame: avoid a cycle

    def _reason(self) -> str:
        if not self.expired:
            return "the block was cancelled"
        if self._seconds is None:
            return "the block was not left by its deadline"
        return f"the block took longer than {self._seconds:g} s"


def move_on_after(seconds: float | None, *, shield: bool = False) -> scope:
    """Return a `scope` that ends after `seconds`: `with move_on_after(5) as s: ...`. None means no limit. (trio's)"""
    return scope(seconds, shield=shield)


def fail_after(seconds: float | None, *, shield: bool = False) -> timeout:
    """Return a `timeout` of `seconds`: a block that raises TimeoutError when it takes longer. (trio's)"""
    return timeout(seconds, shield=shield)


def _checked(shield: bool) -> bool:
    if not isinstance(shield, bool):
        raise TypeError(f"a shield must be True or False, not {shield!r}")
    return shield


def _have_done(thread: Thread[Any], change: Callable[[], Any]) -> None:
    """Make a change to the waits of `thread` now, or as soon as its loop can."""
    if thread.done:
        return
    if thread.scheduler.at_hand():
        change()
    else:
        thread.scheduler.post(change)


def _sort(thread: Thread[Any]) -> None:
    """Hold back what the shields of `thread` hold back now, and let the rest through."""
    scheduler = thread.scheduler
    try:
        scheduler.interruptions.hold_back(thread)
        for error in scheduler.interruptions.held_back_no_more(thread):
            scheduler.interrupt(thread, error)
    except BaseException:
        scheduler.post(partial(_sort, thread))
        raise
