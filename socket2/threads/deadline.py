"""Deadlines for blocks and for operations. Here an expired deadline becomes a TimeoutError.

A deadline interrupts its thread at the current wait, or at the next one in its block or operation. If an operation has
finished by then, its result is delivered: a receive that finishes a moment after the deadline still returns its data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from pollers import STREAK_MAX, Cancelled, Operation, operation

from .lock import lock
from .thread import Thread, currentthread
from .timers import Alarm, duration
from .wait import Pass

T = TypeVar("T")


class Deadline(Alarm):
    """Interrupts one thread when its time comes. It can be used many times, by one thread at a time.

    It is an alarm itself. A separate alarm with a callback would be a reference cycle for each block.
    """

    __slots__ = ("_error", "_on_their_way", "_since", "_thread", "expired")

    def __init__(self) -> None:
        self._thread: Thread[object] | None = None
        self._error: Cancelled | None = None  # what it interrupted the thread with
        self._since = 0  # see Interruptions.leave_scope()
        self._on_their_way: list[Cancelled] | None = None  # interruptions on their way when it was set
        self.expired = False

    def enter(self, thread: Thread[object], when: float | None) -> bool:
        """Interrupt `thread` at `when` on its scheduler's clock; None: never. Return False if this is in use."""
        with lock:
            if self._thread is not None:
                return False
            self._thread = thread
        try:
            self.expired = False
            scheduler = thread.scheduler
            self._since = scheduler.interruptions.raised
            if scheduler.interruptions.known:
                self._on_their_way = scheduler.interruptions.on_their_way(thread)
            if getattr(self, "timers", None) is not scheduler.timers:
                self.belong(scheduler.timers)
            if when is not None:
                self.arm(when)
        except BaseException:
            self.give_up()
            raise
        return True

    def give_up(self) -> None:
        """End the use of this deadline, after a signal handler raised at any point."""
        with lock:
            thread, error = self._thread, self._error
            if getattr(self, "timers", None) is not None:
                self.disarm()
            if thread is not None and error is not None:
                thread.scheduler.interruptions.forgive(thread, error)
            self._thread = self._error = self._on_their_way = None

    def leave(self, error: BaseException | None) -> Cancelled | None:
        """End the scope of the deadline, and take back the interruption. `error` is what leaves the scope, or None.

        Return a lost interruption to raise instead of the TimeoutError, or None. See Interruptions.leave_scope().
        """
        thread = self._thread
        instead = None
        assert thread is not None
        interruptions = thread.scheduler.interruptions
        with lock:
            self.disarm()
            if self._error is not None:
                interruptions.forgive(thread, self._error)
            if interruptions.known:
                ours = error is not None and error is self._error
                instead = interruptions.leave_scope(thread, self._since, error, ours)
                if error is not None and ours and self._on_their_way:
                    instead = interruptions.cleanup_timed_out(thread, self._on_their_way, error) or instead
            self._thread = self._error = self._on_their_way = None
        return instead

    def ring(self) -> None:
        thread, error = self._thread, self._error
        assert thread is not None
        self.expired = True
        if error is None:
            error = Cancelled("timed out")
            waiting = thread.waiting_on
            if hasattr(waiting, "fileno"):  # a server must know which socket was too slow
                error.socket_fd = waiting.fileno()  # type: ignore[attr-defined]
            error.meant_for = self
            self._error = error
        elif thread.scheduler.interruptions.is_pending_or_raised(thread, error):
            return  # this is the second ring() for one deadline
        thread.scheduler.interrupt(thread, error)


def _timeout_error(message: str, cancelled: BaseException | None) -> TimeoutError:
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
                ours = error is self._error
                instead = self.leave(error)
                left = True
                if not ours:
                    raise
                try:
                    raise instead or _timeout_error("timed out", error) from None
                finally:
                    del instead  # its traceback has this frame: avoid a cycle
            self.leave(None)
            left = True
        finally:
            if not left:
                self.give_up()
        return result


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


class timeout(Deadline):
    """A block that raises TimeoutError if it takes longer than `seconds`: `with timeout(5): ...`. None means no limit.

    When the time is over, the current or next wait in the block raises Cancelled. This becomes TimeoutError at the end
    of the block. Code in between can clean up, and an `except TimeoutError` for an inner timeout does not catch it. An
    interrupted operation leaves behind what it leaves after a cancellation. A block that does not wait any more ends
    normally, however late. `expired` is True if the time was over. Blocks may be nested.

    Raises TypeError if `seconds` is not a number; ValueError if it is negative or NaN; RuntimeError outside a thread,
    or if the block has already been entered.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = None if seconds is None else duration(seconds)

    def __enter__(self) -> timeout:
        thread = currentthread()
        if not self.enter(thread, None if self._seconds is None else thread.scheduler.now() + self._seconds):
            raise RuntimeError("this timeout block has already been entered")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ours = error is not None and error is self._error
        instead = None
        try:
            instead = self.leave(error)
        except BaseException:
            self.give_up()
            raise
        try:
            if ours:
                raise instead or _timeout_error(f"the block took longer than {self._seconds:g} s", error) from None
        finally:
            del self, error, at, instead  # an error's traceback has this frame: avoid a cycle
