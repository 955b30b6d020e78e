"""The interruptions of each thread, until the scope that they are meant for has been left.

A cancellation or a deadline ends the wait of its thread with an error. If the wait has already ended, its result is
delivered first, and the next wait raises the error. On its way to its scope the error may get lost: code catches it, or
an error of a cleanup replaces it. A lost interruption is raised again. README.md explains this with an example, "How a
cancellation gets lost", and C, D and E below are the exceptions in that example.

Must not know queues or members: the caller puts a thread whose wait has ended into the ready queue.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

from pollers import STREAK_MAX, Cancelled, Poller

from .chain import handled_in, with_contexts
from .lock import lock, locked


class Interruptible(Protocol):
    """What this module knows of a thread."""

    waiting_on: Any
    _coro: Any
    _errors: list[BaseException] | None  # pending interruptions: see Thread

    @property
    def done(self) -> bool: ...


class Nested(Protocol):
    """What this module knows of a scope: a block that may be a shield."""

    _outer: Nested | None  # the scope around it
    _shield: bool
    _since: int


# The value of an interruption that a shield holds back.
_HELD_BACK = -1


class Interruptions:
    """The interruptions of one scheduler's threads."""

    __slots__ = ("_poller", "known", "raised", "scopes")  # for limit.c

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        # For each thread: the interruptions whose scope it has not left yet. Each has the value of `raised` after its
        # own raise, or 0 while it is pending, or _HELD_BACK.
        self.known: dict[Any, dict[Cancelled, int]] = {}
        self.raised = 0  # how many have been raised, plus how many scopes have been entered
        self.scopes: dict[Any, Nested] = {}  # for each thread that is in scopes: the innermost one

    def end_wait(self, thread: Interruptible, error: BaseException) -> bool:
        """End the current wait of `thread` with `error`. Return True if the caller must now make the thread ready.

        Return False if the thread has ended, or if no wait could be ended. In the second case its next wait raises
        `error`, or the first one after the shield that holds it back.
        Only Scheduler.interrupt() and Stepper.interrupt() call this. Other code calls one of these two.
        """
        with lock:
            if thread.done:
                return False
            if isinstance(error, Cancelled) and error.meant_for is not None:
                held_back = bool(self.scopes) and self._is_held_back(thread, error)
                others = _others(self.known.get(thread, {}), error)
                self.known[thread] = {**others, error: _HELD_BACK if held_back else 0}
                if held_back:
                    return False
            waiting = thread.waiting_on
            if not thread._errors and waiting is not None and waiting.cancel(error):
                self._note_raise(thread, error)
                return True
            thread._errors = [*(thread._errors or ()), error]
            return False

    def forgive(self, thread: Interruptible, error: BaseException) -> None:
        """Forget `error`, and do not raise it any more: the scope that it is meant for has been left."""
        with lock:
            if thread.done:
                return
            known = self.known.get(thread)
            if known is not None:
                known.pop(error, None)  # type: ignore[call-overload]
                if not known:
                    del self.known[thread]
            if thread._errors is not None:
                self._set_pending(thread, _all_but(error, thread._errors))

    def forget(self, thread: Interruptible) -> None:
        """Forget the interruptions and the scopes of `thread`, which has ended."""
        self.known.pop(thread, None)
        self.scopes.pop(thread, None)

    def take_first(self, thread: Interruptible) -> None:
        """Note that the first pending interruption of `thread` is pending no more: it is being raised."""
        assert thread._errors is not None
        self._note_raise(thread, thread._errors[0])
        self._set_pending(thread, thread._errors[1:])

    def is_pending_or_raised(self, thread: Interruptible, error: BaseException) -> bool:
        """Whether `error` is pending in `thread`, is held back, or has been raised."""
        known: Any = self.known.get(thread, {})
        pending = _is_one_of(error, thread._errors or ()) or getattr(thread.waiting_on, "error", None) is error
        return pending or bool(known.get(error))

    def note_raised(self, thread: Interruptible) -> None:
        """Note that the wait of `thread` was ended with an error, if a signal handler kept that from being noted."""
        error: Any = getattr(thread.waiting_on, "error", None)
        if self.known.get(thread, {}).get(error) == 0 and not _is_one_of(error, thread._errors or ()):
            self._note_raise(thread, error)

    def _set_pending(self, thread: Interruptible, errors: list[BaseException]) -> None:
        """Replace the pending ones. An empty list becomes None, unless some interruption is in doubt."""
        thread._errors = errors if errors or self._in_doubt(thread) else None

    def _note_raise(self, thread: Interruptible, error: BaseException) -> None:
        known = self.known.get(thread)
        if known is not None and error in known:
            self.raised += 1
            known[error] = self.raised

    def leave_scope(
        self, thread: Interruptible, since: int, leaving: BaseException | None, replaceable: bool = False
    ) -> Cancelled | None:
        """Find the interruptions that got lost in a scope that `thread` leaves. The next wait raises them again.

        `since` was the value of `raised` at the scope's start. `leaving` is the exception that leaves the scope, if
        any. An interruption is lost if it was raised inside this scope for an outer one, and no interruption leaves.
        If `leaving` is `replaceable`, return an interruption that is lost for the second time, for the caller to raise
        instead of `leaving`. Otherwise a loop around the scope could lose it again and again.
        """
        with lock:
            known = self.known.get(thread)
            if known is None or leaving in known or thread.done:
                return None
            lost = _raised_since(known, since)
            second_time = next((error for error in lost if replaceable and _was_lost(error)), None)
            self._raise_again(thread, lost, second_time)
            return second_time

    def _raise_again(self, thread: Interruptible, lost: list[Cancelled], but: Cancelled | None = None) -> None:
        """Make all the lost interruptions pending again, except for `but`, which the caller raises."""
        for error in lost:
            error.__traceback__ = error.__context__ = None
            error._was_lost, error._suspects = True, []  # type: ignore[attr-defined]
        due = [error for error in lost if error is not but]
        if due:
            self.known[thread].update(dict.fromkeys(due, 0))
            thread._errors = [*due, *(thread._errors or ())]
            if self.scopes:
                self.hold_back(thread)
            self.make_next_operation_yield()

    def make_next_operation_yield(self) -> None:
        """Make the next operation in this loop yield before its first attempt. An interruption there loses no data."""
        self._poller.streak = STREAK_MAX

    def on_their_way(self, thread: Interruptible) -> list[Cancelled]:
        """Return the interruptions that are on their way: the running `thread` is in a cleanup after each of them."""
        known = self.known.get(thread, {})
        error = sys.exception() if known else None
        handled = with_contexts([error]) if error is not None else ()
        return [error for error, raised in known.items() if raised > 0 and _is_one_of(error, handled)]

    def cleanup_timed_out(
        self, thread: Interruptible, errors: list[Cancelled], deadline: BaseException
    ) -> Cancelled | None:
        """Note that a deadline ended a block in the cleanup after `errors` (like C), which are now *in doubt*.

        `deadline` (D) has become a TimeoutError (E). If E leaves the cleanup, it replaces `errors` and they are lost.
        If code in the cleanup catches E, they are still on their way. Until it is known which, each wait checks this.
        If one of `errors` was lost before, return it, for the caller to raise instead of E.
        """
        with lock:
            known = self.known.get(thread, {})
            errors = _raised_since(known, 0, errors)
            second_time = next((one for one in errors if _was_lost(one) and not self._is_held_back(thread, one)), None)
            if second_time is None and errors:
                for error in errors:
                    error._suspects = [*_suspects(error), weakref.ref(deadline)]  # type: ignore[attr-defined]
                thread._errors = thread._errors or []
                self.make_next_operation_yield()
            return second_time

    def _in_doubt(self, thread: Interruptible) -> list[Cancelled]:
        known = self.known.get(thread, {})
        return [error for error, raised in known.items() if raised > 0 and _suspects(error)]

    def look_for_lost(self, thread: Interruptible) -> None:
        """Check the interruptions that are in doubt, while `thread` is in a wait. Raise the lost ones again."""
        in_doubt = self._in_doubt(thread)
        if in_doubt:
            handled = handled_in(thread._coro)
            there = with_contexts(handled)
            for error in in_doubt:
                suspects = [suspect for suspect in _suspects(error) if _is_one_of(suspect(), there)]
                error._suspects = suspects  # type: ignore[attr-defined]
            self._raise_again(thread, [error for error in in_doubt if not _is_one_of(error, handled)])
        if thread._errors is not None:
            self._set_pending(thread, thread._errors)

    # Shields.

    def _is_held_back(self, thread: Interruptible, error: BaseException) -> bool:
        """Whether `thread` is in a shield, and `error` is meant for something outside it.

        Entering a scope counts in `raised`. So what was entered later, inside it, has a higher `_since`.
        """
        scope = self.scopes.get(thread)
        while scope is not None and not scope._shield:
            scope = scope._outer
        if scope is None or not isinstance(error, Cancelled) or error.meant_for in (None, scope):
            return False
        since: int = getattr(error.meant_for, "_since", _HELD_BACK)  # a thread has none: it is outside of everything
        return since <= scope._since

    def hold_back(self, thread: Interruptible) -> None:
        """Hold back the pending interruptions of `thread` that are meant for something outside its shields."""
        with lock:
            if not thread.done:
                for error in list(thread._errors or ()):
                    self._hold_back_one(thread, error)

    def _hold_back_one(self, thread: Interruptible, error: BaseException) -> None:
        if isinstance(error, Cancelled) and self._is_held_back(thread, error):
            errors = _all_but(error, thread._errors or [])
            self.known.setdefault(thread, {})[error] = _HELD_BACK
            self._set_pending(thread, errors)

    @locked
    def held_back_no_more(self, thread: Interruptible) -> list[Cancelled]:
        """Return the interruptions that have been held back, and that no shield holds back any more.

        The caller passes each to Scheduler.interrupt(). If `thread` runs, its next operation raises the first one.
        """
        held_back = [error for error, raised in self.known.get(thread, {}).items() if raised == _HELD_BACK]
        due = [error for error in held_back if not self._is_held_back(thread, error)]
        if due:
            self.make_next_operation_yield()
        return due

    def take_pending(self, thread: Interruptible) -> Cancelled | None:
        """Return the first pending interruption of `thread`, for the caller to raise. None if there is none."""
        with lock:
            pending = thread._errors
            if pending and isinstance(pending[0], Cancelled):
                self.take_first(thread)
                return pending[0]
            return None

    # Interruptions in doubt.

    def before_interruption(self, thread: Interruptible) -> None:
        """Prepare a step of `thread`, for which an interruption is pending or in doubt."""
        pending = thread._errors
        if pending and getattr(thread.waiting_on, "error", None) is pending[0]:
            self.take_first(thread)  # its wait was ended with this error
        if thread._errors is not None:
            # The step begins with the result of the last wait. The next operation is the one to interrupt.
            self.make_next_operation_yield()


def _was_lost(error: Cancelled) -> bool:
    """Whether this interruption was lost before, and raised again."""
    return hasattr(error, "_was_lost")


def _suspects(error: Cancelled) -> list[weakref.ref[BaseException]]:
    """Return the deadlines (like D) whose TimeoutError (like E) may have replaced this interruption."""
    return getattr(error, "_suspects", [])


# These are functions, because loops with conditions must not stand in a block that holds the lock: see lock.py.


def _others(known: dict[Cancelled, int], error: Cancelled) -> dict[Cancelled, int]:
    """Return `known` without interruptions for the scope of `error`: a second cancellation replaces the first."""
    return {one: raised for one, raised in known.items() if not _is_the_same(one, error)}


def _all_but(error: BaseException, errors: list[BaseException]) -> list[BaseException]:
    return [one for one in errors if one is not error]


def _raised_since(
    known: dict[Cancelled, int], since: int, errors: Iterable[Cancelled] | None = None
) -> list[Cancelled]:
    """Return those of `errors`, by default of all that are known, that were raised after `since`."""
    return [error for error in (known if errors is None else errors) if known.get(error, 0) > since]


def _is_the_same(one: Cancelled, other: Cancelled) -> bool:
    return one.meant_for is other.meant_for and type(one) is type(other)


def _is_one_of(error: BaseException | None, errors: Iterable[BaseException]) -> bool:
    return any(one is error for one in errors)
