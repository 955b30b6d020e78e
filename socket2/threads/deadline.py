"""Deadlines on blocks and on operations: where the end of a time becomes a TimeoutError.

A deadline interrupts the thread it was set in at its wait, or at the next one inside its reach. What has finished by
then is delivered: a receive that ends a moment after the deadline is a receive.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, TypeVar

from pollers import STREAK_MAX, Cancelled, Operation, operation

from .lock import lock
from .thread import Thread, currentthread
from .timers import Alarm, duration
from .wait import Pass

T = TypeVar("T")


class Deadline(Alarm):
    """Interrupts one thread when its time comes; used over and over, by one thread at a time.

    It is its own alarm: one that called back would be a reference cycle for each block.
    """

    __slots__ = ("_error", "_on_their_way", "_since", "_thread", "expired")

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: Cancelled | None = None  # what it was interrupted with
        self._since = 0  # what was raised in the thread before it was entered
        self._on_their_way: list[Cancelled] | None = None  # of that what is being cleaned up after
        self.expired = False

    def enter(self, thread: Thread, when: float | None) -> bool:
        """Interrupt `thread` at `when`, by its scheduler's clock; None: never. False: it is in use."""
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
        """Be in use no more, whatever a signal handler has broken off."""
        with lock:
            thread, error = self._thread, self._error
            if getattr(self, "timers", None) is not None:
                self.disarm()
            if thread is not None and error is not None:
                thread.scheduler.interruptions.forgive(thread, error)
            self._thread = self._error = self._on_their_way = None

    def leave(self, error: BaseException | None) -> Cancelled | None:
        """The time does not matter any more: an interruption by it is taken back. `error` is what leaves the scope.

        Returns what is to be raised instead of the TimeoutError that it would become, if there is something.
        """
        thread = self._thread
        instead = None
        assert thread is not None
        with lock:
            self.disarm()
            if self._error is not None:
                thread.scheduler.interruptions.forgive(thread, self._error)
            if thread.scheduler.interruptions.known:
                ours = error is not None and error is self._error
                instead = thread.scheduler.interruptions.leave_scope(thread, self._since, error, ours)
                if ours and self._error is not None and self._on_their_way:
                    interruptions = thread.scheduler.interruptions
                    instead = interruptions.cleanup_timed_out(thread, self._on_their_way, self._error) or instead
            self._thread = self._error = self._on_their_way = None
        return instead

    def ring(self) -> None:
        thread, error = self._thread, self._error
        assert thread is not None
        self.expired = True
        if error is None:
            error = Cancelled("timed out")
            waiting = thread.waiting_on
            if hasattr(waiting, "fileno"):  # whose fault it is, a server has to know
                error.socket_fd = waiting.fileno()  # type: ignore[attr-defined]
            error.meant_for = self
            self._error = error
        elif thread.scheduler.interruptions.has_come(thread, error):
            return  # it is rung once more
        thread.scheduler.interrupt(thread, error)


def _timeout_error(message: str, cancelled: BaseException | None) -> TimeoutError:
    """The TimeoutError to raise instead, which tells how far the operation had come, if that did."""
    error = TimeoutError(message)
    if hasattr(cancelled, "bytes_sent"):
        error.bytes_sent = cancelled.bytes_sent  # type: ignore[union-attr, attr-defined]
    if hasattr(cancelled, "socket_fd"):
        error.socket_fd = cancelled.socket_fd  # type: ignore[union-attr, attr-defined]
    return error


class Patience(Deadline):
    """One direction's timeout: the same deadline, moved on by each operation."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    @operation
    def limit(self, inner: Operation[T]) -> Generator[Any, None, T]:
        """Do `inner`, or raise TimeoutError after `seconds`."""
        thread = currentthread()
        scheduler = thread.scheduler
        poller = scheduler.poller
        if self.seconds == 0 and poller.streak >= STREAK_MAX:
            # Others first; and then it is to be attempted, as the time is over when it yields.
            try:
                yield from Pass("turn of the other threads").wait()
            except BaseException:
                inner.close()
                raise
            poller.streak = 0
        if not self.enter(thread, scheduler.now() + self.seconds):
            # Several threads wait in this direction: each has its own time.
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
                    del instead  # whose traceback has this frame: no cycle
            self.leave(None)
            left = True
        finally:
            if not left:
                self.give_up()
        return result


class timeout(Deadline):
    """A block that raises TimeoutError when it takes longer than `seconds`: `with timeout(5): ...`. None: no limit.

    Inside the block the wait that the time ran out in raises Cancelled, which becomes TimeoutError at the block's end;
    code in between can clean up, and `except TimeoutError` of an inner timeout does not take it for its own. A block
    that comes to its end is left in peace, however late. `expired` tells whether the time was over. Blocks nest.
    ValueError for a negative number, RuntimeError outside a thread.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self._seconds = None if seconds is None else duration(seconds)

    def __enter__(self) -> timeout:
        thread = currentthread()
        if not self.enter(thread, None if self._seconds is None else thread.scheduler.now() + self._seconds):
            raise RuntimeError("this timeout block has been entered already")
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
            del self, error, at, instead  # an error's traceback has this frame: no cycle
