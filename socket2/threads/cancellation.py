"""Who was interrupted by what, until the scope that it was meant for has been left.

A cancel or a deadline ends the wait that its thread is in. If that wait has ended already, its outcome is delivered
first, and the error is raised at the next wait. An error of a cleanup may take the place of a Cancelled that is on its
way to an outer scope, or somebody may catch it: what got lost is found out when a scope is left, and raised again.

Must not know queues or members: the caller puts a thread whose wait has ended into the ready queue.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any, Protocol

from pollers import STREAK_MAX, Cancelled, Poller

from .chain import handled_in, with_contexts
from .lock import lock


class Interruptible(Protocol):
    """A thread, as far as it can be interrupted."""

    waiting_on: Any
    _coro: Any
    _errors: list[BaseException] | None  # to be raised in it; the first one first

    @property
    def done(self) -> bool: ...


class Interruptions:
    """Those of one scheduler's threads."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        # For each thread what it was interrupted by, and as the how manieth that was raised: 0 while it has not been.
        self.known: dict[Any, dict[Cancelled, int]] = {}
        self.raised = 0

    def end_wait(self, thread: Interruptible, error: BaseException) -> bool:
        """End the wait that `thread` is in with `error`; False: that will be raised at its next one, if it has one."""
        with lock:
            if thread.done:
                return False
            if isinstance(error, Cancelled) and error.meant_for is not None:
                known = self.known.get(thread, {})
                # A second cancel stands for both.
                kept = {one: raised for one, raised in known.items() if not _is_the_same(one, error)}
                self.known[thread] = {**kept, error: 0}
            waiting = thread.waiting_on
            if not thread._errors and waiting is not None and waiting.cancel(error):
                self._note_raise(thread, error)
                return True
            thread._errors = [*(thread._errors or ()), error]
            return False

    def forgive(self, thread: Interruptible, error: BaseException) -> None:
        """The scope that `error` was for is left: it is not to be raised any more."""
        with lock:
            if thread.done:
                return
            known = self.known.get(thread)
            if known is not None:
                known.pop(error, None)  # type: ignore[call-overload]
                if not known:
                    del self.known[thread]
            if thread._errors is not None:
                self._set_pending(thread, [pending for pending in thread._errors if pending is not error])

    def delivered(self, thread: Interruptible) -> None:
        """The first of what was to be raised in `thread` will be, now."""
        assert thread._errors is not None
        self._note_raise(thread, thread._errors[0])
        self._set_pending(thread, thread._errors[1:])

    def _set_pending(self, thread: Interruptible, errors: list[BaseException]) -> None:
        """None are pending: None, or an empty list while each wait is to look whether something got lost."""
        thread._errors = errors if errors or self._doubtful(thread) else None

    def _note_raise(self, thread: Interruptible, error: BaseException) -> None:
        known = self.known.get(thread)
        if known is not None and error in known:
            self.raised += 1
            known[error] = self.raised

    def renew(
        self, thread: Interruptible, since: int, leaving: BaseException | None, replaceable: bool = False
    ) -> Cancelled | None:
        """`thread` leaves a scope, which it entered when `raised` was `since`, with the exception `leaving`, if any.

        What was raised inside that scope for an outer one, and is not on its way there any more, since an error of a
        cleanup has taken its place or somebody has caught it, is raised again at the next wait. What gets lost for the
        second time is returned instead if `leaving` is `replaceable`, or a loop could lose it for ever.
        """
        with lock:
            known = self.known.get(thread)
            if known is None or leaving in known or thread.done:
                return None
            lost = [error for error, raised in known.items() if raised > since]
            again = next((error for error in lost if replaceable and hasattr(error, "_lost")), None)
            self._raise_again(thread, lost, again)
            return again

    def _raise_again(self, thread: Interruptible, lost: list[Cancelled], but: Cancelled | None = None) -> None:
        for error in lost:
            error.__traceback__ = error.__context__ = None
            error._lost, error._doubts = True, []  # type: ignore[attr-defined]
        due = [error for error in lost if error is not but]
        if due:
            self.known[thread].update(dict.fromkeys(due, 0))
            thread._errors = [*due, *(thread._errors or ())]
            self._poller.streak = STREAK_MAX

    def on_their_way(self, thread: Interruptible) -> list[Cancelled]:
        """Of what was raised in `thread`, which runs, those that it is cleaning up after."""
        known = self.known.get(thread, {})
        error = sys.exception() if known else None
        handled = with_contexts([error]) if error is not None else ()
        return [error for error, raised in known.items() if raised and _is_one_of(error, handled)]

    def doubt(self, thread: Interruptible, errors: list[Cancelled], deadline: BaseException) -> Cancelled | None:
        """A deadline has ended the cleanup after these: its TimeoutError takes their place, unless it is caught there.

        Until that is known each wait looks whether they are still on their way. What gets lost for the second time is
        returned instead, as by renew().
        """
        with lock:
            known = self.known.get(thread, {})
            errors = [error for error in errors if known.get(error)]
            again = next((error for error in errors if hasattr(error, "_lost")), None)
            if again is None and errors:
                for error in errors:
                    error._doubts = [*_doubts(error), weakref.ref(deadline)]  # type: ignore[attr-defined]
                thread._errors = thread._errors or []
                self._poller.streak = STREAK_MAX
            return again

    def _doubtful(self, thread: Interruptible) -> list[Cancelled]:
        known = self.known.get(thread, {})
        return [error for error, raised in known.items() if raised and _doubts(error)]

    def look_for_lost(self, thread: Interruptible) -> None:
        """`thread` waits, and something is pending, or in doubt: what is not on its way any more is pending now."""
        doubtful = self._doubtful(thread)
        if doubtful:
            handled = handled_in(thread._coro)
            there = with_contexts(handled)
            for error in doubtful:
                error._doubts = [one for one in _doubts(error) if _is_one_of(one(), there)]  # type: ignore[attr-defined]
            self._raise_again(thread, [error for error in doubtful if not _is_one_of(error, handled)])
        if thread._errors is not None:
            self._set_pending(thread, thread._errors)

    def before_interruption(self, thread: Interruptible) -> None:
        """`thread` is about to run, and something is to be raised in it: now, if its wait was given up for that."""
        pending = thread._errors
        if pending and getattr(thread.waiting_on, "error", None) is pending[0]:
            self.delivered(thread)
        if thread._errors is not None:
            # The outcome of its wait comes first, and its next operation yields before it attempts anything.
            self._poller.streak = STREAK_MAX


def _doubts(error: Cancelled) -> list[weakref.ref[BaseException]]:
    """The deadlines that have met its cleanup, of which it is not known yet what became of their TimeoutErrors."""
    return getattr(error, "_doubts", [])


def _is_the_same(one: Cancelled, other: Cancelled) -> bool:
    return one.meant_for is other.meant_for and type(one) is type(other)


def _is_one_of(error: BaseException | None, errors: Iterable[BaseException]) -> bool:
    return any(one is error for one in errors)
