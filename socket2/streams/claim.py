"""One thread's right to one direction of a stream. A second thread gets Busy with the name of the first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pollers import Busy

from ..threads.thread import Thread

if TYPE_CHECKING:
    from typing import Self


class Claim:
    """One thread's right to one direction of a stream, for all steps of an operation.

    `claim.take()`, and then at once a `try` block whose `finally` says `claim.free = None`. A signal handler
    may raise anywhere: then the claim has not been taken, or it is given back. No `with` block could promise that,
    because its `__exit__()`, in Python, may be interrupted before its first instruction.
    """

    __slots__ = ("_doing", "counted", "free", "thread")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self.free = None  # there is no such attribute while it is taken
        self.thread: Thread[object] | None = None  # the thread that holds it, while it waits
        self.counted = 0  # how many operations that end at once have been counted in advance

    def refusal(self) -> Busy:
        holder = self.thread
        who = f"thread {holder.name!r}" if holder is not None else "another thread"
        return Busy(f"{who} is {self._doing} this stream already")

    def take(self) -> Self:
        """Take it without waiting. Raises Busy if another thread has it."""
        try:
            del self.free  # one thread succeeds. After a call the interpreter would check for signals
        except AttributeError:
            raise self.refusal() from None
        return self

    def check(self) -> None:
        """Raise Busy if another thread has it."""
        if not hasattr(self, "free"):
            raise self.refusal()

    def if_free(self, act: Callable[[], object]) -> None:
        """Call `act` with the claim, unless a thread has it."""
        with suppress(Busy):
            self.take()
            try:
                act()
            finally:
                self.free = None
