"""Signals in a running loop: a signal ends the poller's wait, and Ctrl-C is delivered between two turns of the loop.

Python raises KeyboardInterrupt wherever the program happens to be, for example between the arrival of an event and the
step of its thread. So while a loop runs in the main OS thread, the first SIGINT is only noted. If a second one comes
before the first has been delivered, some thread probably does not reach a wait, and KeyboardInterrupt is raised at
once. The program's own handlers and wake-up descriptors stay as they are.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from .inbox import make_first
from .lock import lock

if TYPE_CHECKING:
    from pollers import Poller

F = TypeVar("F", bound=Callable[..., Any])


_active: CtrlC | None = None  # that of the main OS thread, while its loop runs
_coming = 0  # above 0 while the main OS thread is about to run a loop
_calls: deque[Callable[[], Any]] = deque()  # calls for the main OS thread to make


class CtrlC:
    """The signal handling of one loop. Between begin() and end() it is active.

    While it is active, a signal ends the wait of `poller`, and `noted` counts the Ctrl-Cs not delivered yet.
    `wake()` makes the loop check `noted` and `calls`. If a signal handler raises in the middle of begin() or end(),
    call end() again: it does the rest.
    """

    def __init__(self, poller: Poller, wake: Callable[[], None]) -> None:
        self._poller = poller
        self._wake = wake
        self._begun = False
        self._handler: Any = None
        self._wakeup_fd: int | None = None
        self._before: list[int] = []  # the descriptor before ours
        self._found: list[int] = []  # those that were set when ours was removed
        self.noted = 0
        self.calls: Collection[Callable[[], Any]] = ()  # for this OS thread to make, if it is the main one

    def begin(self) -> None:
        global _active
        if threading.current_thread() is not threading.main_thread():
            return
        self._begun = True
        try:  # this is done first, so that a Ctrl-C is noted from here on
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._handler = self._interrupted
                signal.signal(signal.SIGINT, self._handler)
            self._begin_wakeups()
        except ValueError:
            self._begun = False  # in a subinterpreter, which has no signals
            return
        with lock:
            _active = self
            self.calls = _calls

    def end(self) -> None:
        global _active
        if not self._begun:
            return
        with lock:
            if _active is self:
                _active = None
                self.calls = ()
        self._end_wakeups()
        if self._handler is not None:  # done last: from here on Ctrl-C raises KeyboardInterrupt at once
            if signal.getsignal(signal.SIGINT) == self._handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._handler = None
        make_calls()
        self._begun = False

    def _begin_wakeups(self) -> None:
        """Have each signal write to the poller's wake-up descriptor."""
        self._before, self._found = [], []
        self._wakeup_fd = self._poller.wakeup_fileno()
        _exchange_wakeup_fd(self._wakeup_fd, self._before)
        if self._before != [-1]:
            self._end_wakeups()  # the program's own descriptor ends the wait, too

    def _end_wakeups(self) -> None:
        if self._wakeup_fd is None:
            return
        _exchange_wakeup_fd(-1, self._found)
        others = self._before[-1] if self._before else -1
        ours = self._wakeup_fd if self._before else -1  # if not, a signal handler raised before ours was set
        for fd in self._found:
            others = others if fd in (-1, ours) else fd
        if others != -1:
            with suppress(OSError, ValueError):  # the program may have closed its descriptor
                signal.set_wakeup_fd(others)
        self._wakeup_fd = None

    def take_over(self) -> Callable[[int, FrameType | None], None]:
        """Return a handler for SIGINT. When the loop ends, Python's own handler replaces it."""
        handler = self._handler = self._interrupted
        return handler

    def _interrupted(self, signum: int, frame: FrameType | None) -> None:
        self.noted += 1
        if self.noted > 1:
            self.noted = 0
            raise KeyboardInterrupt
        self._wake()


def _exchange_wakeup_fd(fd: int, found: list[int]) -> None:
    """Set the wake-up descriptor, and add the previous one to `found`: in one call, so no handler raises in between."""
    found.extend(map(partial(signal.set_wakeup_fd, warn_on_full_buffer=False), (fd,)))


def call_in_main(call: Callable[[], Any]) -> bool:
    """Make a call in the main OS thread: at once if this is it, or else between two turns of its loop.

    Return False, without making the call, if the main OS thread runs no loop.
    """
    if threading.current_thread() is threading.main_thread():
        call()
        return True
    with lock:
        active = _active
        if active is None and not _coming:
            return False
        _calls.append(call)
    if active is not None:
        active._wake()
    return True


def make_calls() -> None:
    """Make the calls that other OS threads left for the main OS thread, which alone may call this."""
    while make_first(_calls):
        pass


class main_is_coming:
    """A block in which this OS thread is about to run its loop.

    If this is the main OS thread, call_in_main() accepts calls for it. Other members of the scheduler may run earlier,
    and make such calls.
    """

    def __init__(self) -> None:
        self._counts = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        global _coming
        with lock:
            _coming += self._counts

    def __exit__(self, *_: object) -> None:
        global _coming
        with lock:
            _coming -= self._counts
        if self._counts:
            make_calls()


def as_it_is_now(handler: Any) -> Any:
    """Return the handler to install now in order to restore `handler`.

    If that is Python's or a loop's own handler for SIGINT, this depends on whether a loop runs now.
    """
    if handler is signal.default_int_handler or isinstance(getattr(handler, "__self__", None), CtrlC):
        return _active.take_over() if _active is not None else signal.default_int_handler
    return handler


def wakes_nobody(handler: F) -> F:
    """Mark a signal handler that ends no wait, for may_wake()."""
    setattr(handler, "wakes_nobody", True)
    return handler


def may_wake() -> bool:
    """Whether the program has a signal handler of its own in Python. Such a handler may wake a thread."""
    return any(
        callable(handler)
        and handler is not signal.default_int_handler
        and not isinstance(getattr(handler, "__self__", None), CtrlC)
        and not getattr(handler, "wakes_nobody", False)
        for handler in map(signal.getsignal, signal.valid_signals())
    )


def _after_fork_in_child() -> None:
    """Remove the handler and the wake-up descriptor, which belong to the parent's loop."""
    global _coming
    _calls.clear()
    _coming = 0
    if _active is not None:
        _active.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
