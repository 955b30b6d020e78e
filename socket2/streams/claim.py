"""One thread's right to one direction of a stream. A second thread gets Busy with the name of the first."""

from __future__ import annotations

import threading

from pollers import Busy

from ..threads.thread import Thread


class Claim:
    """One thread's right to one direction of a stream, for all steps of an operation."""

    __slots__ = ("_doing", "counted", "lock", "thread")

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self.lock = threading.Lock()  # acquired without waiting
        self.thread: Thread[object] | None = None  # the thread that holds it, while it waits
        self.counted = 0  # how many operations that end at once have been counted in advance

    def refusal(self) -> Busy:
        holder = self.thread
        who = f"thread {holder.name!r}" if holder is not None else "another thread"
        return Busy(f"{who} is {self._doing} this stream already")

    def __enter__(self) -> None:
        if not self.lock.acquire(False):
            raise self.refusal()

    def __exit__(self, *_: object) -> None:
        self.lock.release()
