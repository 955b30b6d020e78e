"""Reports a test that takes too long, from outside of its loop.

Knows real time, since the loop may be blocked, or have a clock that jumps. One OS thread watches all tests of the
process, one after the other: starting one for each test would take longer than most tests.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from pollers import leakproof

from ..threads.scheduler import PoolThread

Call: TypeAlias = Callable[[], float | None]


class Overdue:
    """Calls a function, in an OS thread of its own, when a time is over."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """A forked child has no OS thread that watches."""
        self._lock = leakproof(threading.Lock())
        self._changed = threading.Condition(self._lock)
        self._due: float | None = None
        self._call: Call = _nothing
        self._begun = 0  # how many times there have been
        self._looks_at: float | None = None  # when the OS thread looks next, if nobody wakes it
        self._os_thread: threading.Thread | None = None

    def begin(self, limit_s: float, call: Call) -> None:
        """Call `call` in `limit_s` seconds, unless end() comes first. If it returns seconds, call it again after these.

        A second begin() replaces the first one.
        """
        with self._lock:
            self._due, self._call = monotonic() + limit_s, call
            self._begun += 1
            if self._os_thread is None:
                self._os_thread = PoolThread(target=self._watch, name="socket2 overdue", daemon=True)
                self._os_thread.start()
            elif self._looks_at is None or self._looks_at > self._due:
                self._changed.notify()

    def end(self) -> None:
        """Make no further call. One that is being made now goes on."""
        with self._lock:
            self._due, self._call = None, _nothing
            self._begun += 1

    def stop(self) -> None:
        """End the OS thread. The next begin() starts another one."""
        with self._lock:
            ending, self._os_thread = self._os_thread, None
            self._due, self._call = None, _nothing
            self._changed.notify()
        if ending is not None:
            ending.join()

    def _watch(self) -> None:
        while (due := self._next()) is not None:
            call, begun = due
            again_s = call()
            with self._lock:
                if again_s is not None and begun == self._begun:
                    self._due, self._call = monotonic() + again_s, call
            del call, due

    def _next(self) -> tuple[Call, int] | None:
        """Wait until a call is due. Return None after stop()."""
        with self._lock:
            while self._os_thread is threading.current_thread():
                now = monotonic()
                if self._due is not None and self._due <= now:
                    call, self._due, self._call = self._call, None, _nothing
                    return call, self._begun
                self._looks_at = self._due
                self._changed.wait(None if self._due is None else self._due - now)
            return None


def _nothing() -> None:
    pass


overdue = Overdue()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=overdue._forget)


def interrupt_main() -> bool:
    """Do what Ctrl-C does, also to a call of the system that blocks. Return False if this process does not listen."""
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, None):
        return False
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        import _thread

        _thread.interrupt_main()
    return True
