"""The right to use one direction of a TLS stream or a WebSocket, or to make its handshake.

An operation holds the lane of its direction, also while it waits for the stream below; a second one gets Busy. But each
direction may have to do the other's work: a receive may have an answer to send. Such a guest uses a free lane, and an
operation that comes meanwhile waits for it. This module knows threads. It must not know how ciphertext is moved.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

from pollers import Busy, operation

from ..threads.chain import links_of
from ..threads.lock import lock, locked
from ..threads.scheduler import local
from ..threads.wait import Wait


class Lane:
    """One thread at a time holds it.

    An operation deletes `lane.free`, which no signal handler can interrupt. At once follows a `try` block whose
    `finally` sets it to None again, and calls wake() if there is anything in `lane.waiting`.
    """

    __slots__ = ("_doing", "_guests", "_what", "free", "waiting")

    def __init__(self, doing: str, what: str = "TLS stream") -> None:
        self._doing = doing
        self._what = what
        self.free = None  # there is no such attribute while it is taken
        self.waiting: list[Wait] | None = None
        self._guests = 0

    @property
    def taken(self) -> bool:
        """Whether somebody holds the lane."""
        return not hasattr(self, "free")

    @operation
    def enter(self) -> Generator[Any, None, None]:
        """Take the lane for an operation, after a guest has left it. Raises Busy if another operation holds it."""
        while not self._try(False):
            yield from self.changed()

    def check(self) -> None:
        """Raise Busy if an operation holds the lane."""
        with lock:
            if self.taken and not self._guests:
                raise self._refusal()

    def visit(self) -> bool:
        """Take the lane as a guest if it is free, and return whether it was. A `try` block follows at once."""
        return self._try(True)

    def _try(self, as_guest: bool) -> bool:
        taken = False
        try:
            with lock:
                try:
                    del self.free
                    taken = True
                    self._guests += as_guest
                except AttributeError:
                    if not as_guest and not self._guests:
                        raise self._refusal() from None
        except BaseException:  # of a signal handler, for example
            if taken:
                self.free = None
                self._guests = 0
            raise
        return taken

    def left(self) -> None:
        """End a visit(), after `lane.free = None` has given the lane back."""
        with lock:
            self._guests -= 1
        self.wake()

    @operation
    def changed(self) -> Generator[Any, None, None]:
        """Wait until its holder gives it back or has received something, or has just done so."""
        wait = Wait(f"{self._what} that another thread is {self._doing}")
        with lock:
            if self.waiting is None:
                self.waiting = []
            self.waiting.append(wait)
        if not self.taken:  # otherwise the holder sees this wait
            self.wake()
        yield from wait.wait()

    def wake(self) -> None:
        """Wake all that wait for the lane, also if a signal handler raises meanwhile."""
        try:
            self._wake()
        except BaseException:
            self._wake()
            raise

    @locked
    def _wake(self) -> None:
        for wait in self.waiting or ():
            wait.finish()  # a second time this does nothing
        self.waiting = None

    def _refusal(self) -> Busy:
        scheduler, member = local.scheduler, local.member
        ours = member.current if member is not None else None
        who = "another thread"
        for thread in list(scheduler.threads) if scheduler is not None else ():
            if thread is not ours and self._is_held_in(thread._coro):
                who = f"thread {thread.name!r}"
                break
        return Busy(f"{who} is {self._doing} this {self._what.removeprefix('TLS ')} already")

    def _is_held_in(self, coro: Any) -> bool:
        return any(one is self for link in links_of(coro) for one in gc.get_referents(link))
