"""Deadlines for blocks and for operations. Here an expired deadline becomes a TimeoutError.

A deadline interrupts its thread at the current wait, or at the next one in its block or operation. If an operation has
finished by then, its result is delivered: a receive that finishes a moment after the deadline still returns its data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from pollers import CHECKING, STREAK_MAX, Cancelled, Operation, operation

from . import stepping
from .lock import lock
from .thread import Thread, currentthread
from .timers import Alarm, Timers, duration
from .wait import Pass

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

_compiled = None if CHECKING else stepping.compiled
limiter: Callable[[Method], Method] = (lambda method: method) if _compiled is None else _compiled.limiter
"""Decorates limit(): C sets the deadline only when the operation has to wait. In unusual cases it calls the method."""

_NONE = Timers(lambda: 0.0)  # those of a deadline that has not been entered


class Deadline(Alarm):
    """Interrupts one thread when its time comes. It can be used many times, by one thread at a time.

    It is an alarm itself. A separate alarm with a callback would be a reference cycle for each block.
    """

    __slots__ = ("_error", "_on_their_way", "_since", "_thread", "expired")

    def __init__(self) -> None:
        self.timers = _NONE
        self._thread: Thread[object] | None = None
        self._error: Cancelled | None = None  # what it interrupted the thread with
        self._since = 0  # see Interruptions.leave_scope()
        self._on_their_way: list[Cancelled] | None = None  # interruptions on their way when it was set
        self.expired = False

    def enter(self, thread: Thread[object], when: float | None) -> bool:
        """Interrupt `thread` at `when` on its scheduler's clock; None: never. Return False if this is in use."""
        scheduler = thread.scheduler
        with lock:
            if self._thread is not None:
                return False
            if self.timers is not scheduler.timers:
                self.belong(scheduler.timers)
            self._since = scheduler.interruptions.raised
            if scheduler.interruptions.known:
                self._on_their_way = scheduler.interruptions.on_their_way(thread)
            self.expired = False
            self._thread = thread  # the last one: from here on any signal handler may call what a scope offers
        if when is not None:
            try:
                self.arm(when)
            except BaseException:
                self.give_up()
                raise
        return True

    def give_up(self) -> None:
        """End the use of this deadline, after a signal handler raised at any point."""
        with lock:
            thread, error = self._thread, self._error
            if self.timers is not _NONE:
                self.disarm()
            if thread is not None and error is not None:
                thread.scheduler.interruptions.forgive(thread, error)
            self._thread = self._error = self._on_their_way = None

    def leave(self, error: BaseException | None, swallows: bool = False) -> Cancelled | None:
        """End the scope of the deadline, and take back the interruption. `error` is what leaves the scope, or None.

        Return a lost interruption to raise instead of the TimeoutError, or None. See Interruptions.leave_scope(). If
        the scope `swallows` its interruption, no TimeoutError replaces the interruptions that are on their way.
        """
        thread = self._thread
        instead = None
        assert thread is not None
        interruptions = thread.scheduler.interruptions
        with lock:
            self._disarm()
            if self._error is not None:
                interruptions.forgive(thread, self._error)
            if interruptions.known:
                ours = error is not None and error is self._error
                instead = interruptions.leave_scope(thread, self._since, error, ours)
                if error is not None and ours and self._on_their_way and not swallows:
                    instead = interruptions.cleanup_timed_out(thread, self._on_their_way, error) or instead
            self._thread = self._error = self._on_their_way = None
        return instead

    def ring(self) -> None:
        self.expired = True
        self.interrupt("timed out")

    def interrupt(self, why: str) -> None:
        """Interrupt the thread. A second call does nothing. The caller holds the lock."""
        thread, error = self._thread, self._error
        assert thread is not None
        if error is None:
            error = Cancelled(why)
            waiting = thread.waiting_on
            if hasattr(waiting, "fileno"):  # a server must know which socket was too slow
                error.socket_fd = waiting.fileno()  # type: ignore[attr-defined]
            error.meant_for = self
            self._error = error
        elif thread.scheduler.interruptions.is_pending_or_raised(thread, error):
            return  # this is a second call
        thread.scheduler.interrupt(thread, error)


def timeout_error(message: str, cancelled: BaseException | None) -> TimeoutError:
    """Return the TimeoutError to raise instead of `cancelled`. It keeps `bytes_sent` and `socket_fd`."""
    error = TimeoutError(message)
    if hasattr(cancelled, "bytes_sent"):
        error.bytes_sent = cancelled.bytes_sent  # type: ignore[union-attr, attr-defined]
    if hasattr(cancelled, "socket_fd"):
        error.socket_fd = cancelled.socket_fd  # type: ignore[union-attr, attr-defined]
    return error


class Patience(Deadline):
    """The timeout of one direction of a socket. Each operation uses the same deadline again."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    @limiter
    @operation
    def limit(self, inner: Operation[T]) -> Generator[Any, None, T]:
        """Run `inner`. Raises TimeoutError after `seconds`."""
        thread = currentthread()
        scheduler = thread.scheduler
        poller = scheduler.poller
        if self.seconds == 0 and poller.streak >= STREAK_MAX:
            # Other threads run first. After that `inner` must make an attempt, because a yield would time out.
            try:
                yield from Pass("turn of the other threads").wait()
            except BaseException:
                inner.close()
                raise
            poller.streak = 0
        if not self.enter(thread, scheduler.now() + self.seconds):
            # Several threads wait in this direction. Each has its own time.
            return (yield from Patience(self.seconds).limit(inner))
        left = False
        try:
            try:
                result = yield from inner
            except BaseException as error:
                raised = self._ended_by(error)
                left = True
                try:
                    if raised is error:
                        raise
                    raise raised from None
                finally:
                    del raised  # its traceback has this frame: avoid a cycle
            self.leave(None)
            left = True
        finally:
            if not left:
                self.give_up()
        return result

    def _ended_by(self, error: BaseException) -> BaseException:
        """End the use of this deadline after `error` ended the operation. Return what to raise: `error` or another."""
        ours = error is self._error
        instead = self.leave(error)
        return (instead or timeout_error("timed out", error)) if ours else error

    def _begin(self, thread: Thread[object], when: float, since: int) -> Patience:
        """Enter as if at the time when Interruptions.raised was `since`, and none was known. For limit.c.

        Return this deadline, or another one if this is in use: several threads wait in this direction.
        """
        patience = self
        try:
            if not self.enter(thread, None):
                patience = Patience(self.seconds)
                patience.enter(thread, None)
            with lock:
                patience._since, patience._on_their_way = since, None
                patience.arm(when)
            return patience
        except BaseException:
            patience.give_up()
            raise


def patience(seconds: float | None) -> Patience | None:
    """Return the timeout of a direction, None if there is none. More than 2^31 - 1 seconds are no limit, either.

    Raises as duration() does.
    """
    return None if seconds is None or duration(seconds) > 2**31 - 1 else Patience(seconds)


def within(timeout_s: float | None, make: Callable[..., Operation[T]], *args: Any) -> Operation[T]:
    """Make an operation. With a `timeout_s`, it raises TimeoutError after that time. Raises as duration() does."""
    if timeout_s is None:
        return make(*args)
    patience = Patience(duration(timeout_s))  # first: an operation that is made must be awaited
    return patience.limit(make(*args))
