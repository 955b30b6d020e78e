"""The simulated host of a whole process: SOCKET2_POLLER=simulated. Its only addresses are those of the loopback device.

Other OS threads may use its sockets, and their time is the real one. So its clock is the real one, too, and jumps only
while no other OS thread runs: then nobody else can do anything before the next thing that happens. It must not know
pollers: they find what they need in Home and Network.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from random import Random

from .host import Host
from .world import Stuck, World

# Signals, and what other OS threads do without a socket, are noticed after this time.
_LOOK_S = 0.02

_clock = time.monotonic  # tests replace it by this world's


class Loopback(World):
    """A network of one host."""

    has_signals = True

    def __init__(self) -> None:
        self._skipped_s = 0.0
        super().__init__(Random(0), wall_s=time.time())
        self._wall_s = time.time() - self.monotonic()
        self._stirred = threading.Condition(self.lock)
        self._waiters = 0
        self._known = set(threading.enumerate())
        self.here = self.host(name="localhost")
        if hasattr(os, "getuid"):
            self.here.pid, self.here.uid, self.here.gid = os.getpid(), os.getuid(), os.getgid()

    def monotonic(self) -> float:
        """Return the real time, and what was skipped."""
        return _clock() + self._skipped_s

    def advance(self, until_s: float | None = None) -> bool:
        with self.lock:
            return super().advance(until_s)

    def _jump_to(self, when_s: float) -> None:
        self._skipped_s += max(when_s - self.monotonic(), 0.0)

    def settle(self) -> None:
        while self._events and self._events[0][0] <= self.monotonic():
            super().advance()

    def stirred(self) -> None:
        if self._waiters:
            with self.lock:
                self._stirred.notify_all()

    def is_alone(self) -> bool:
        """Return whether no OS thread was started since this world was made, but this one."""
        me = threading.current_thread()
        return not any(one is not me and one not in self._known for one in threading.enumerate()) and me in self._known

    def wait(self, is_over: Callable[[], object], timeout_s: float | None, *, is_poll: bool = False) -> bool:
        with self.lock:
            until_s = None if timeout_s is None else self.monotonic() + timeout_s
            while not is_over():
                self.settle()
                if is_over():
                    break
                now_s = self.monotonic()
                if until_s is not None and now_s >= until_s:
                    return False
                nearest = min((at for at in (self.next_at(), until_s) if at is not None), default=None)
                if not self.is_alone() or (nearest is None and is_poll):
                    self._really_wait(_LOOK_S if nearest is None else min(max(nearest - now_s, 0.0), _LOOK_S))
                elif nearest is None:
                    raise Stuck("this call waits for a socket, and nothing will ever happen")
                else:
                    self._jump_to(nearest)
            return True

    def _really_wait(self, seconds: float) -> None:
        self._waiters += 1
        try:
            self._stirred.wait(seconds)
        finally:
            self._waiters -= 1


_made: list[Host] = []


def here() -> Host:
    """Return the simulated host of this process."""
    if not _made or _made[0].pid != os.getpid():
        _made[:] = [Loopback().here]
    return _made[0]
