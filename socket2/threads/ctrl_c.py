"""What a signal does to a running loop: it ends the poller's wait, and a first Ctrl-C is delivered between two turns.

KeyboardInterrupt raised wherever the interpreter happens to be could fall between a kernel event and the thread it is
for. So while a loop runs in the main OS thread the first SIGINT is only noted; a second one, before the first has been
delivered, means that some thread does not come to a wait, and is raised on the spot. Handlers that others have
installed are left alone, and so is a wake-up descriptor of theirs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from .lock import lock

if TYPE_CHECKING:
    from pollers import Poller

F = TypeVar("F", bound=Callable[..., Any])


_active: CtrlC | None = None  # the one of the main OS thread, while its loop runs
_coming = 0  # it is about to run one
_calls: deque[Callable[[], Any]] = deque()  # which the main OS thread is to make


class CtrlC:
    """Between begin() and end() signals end the wait of `poller`, and `noted` counts the Ctrl-Cs yet to be delivered.

    `wake()` makes the loop look at it, and at `calls`. A signal handler may raise in the midst of begin() or of end():
    another end() does what is left to do then.
    """

    def __init__(self, poller: Poller, wake: Callable[[], None]) -> None:
        self._poller = poller
        self._wake = wake
        self._begun = False
        self._handler: Any = None
        self._wakeup_fd: int | None = None
        self._others_fd = self._found_fd = -1  # what was there before our descriptor, and what is instead of it
        self.noted = 0
        self.calls: Collection[Callable[[], Any]] = ()  # to be made in this OS thread, as it is the main one

    def begin(self) -> None:
        global _active
        if threading.current_thread() is not threading.main_thread():
            return
        self._begun = True
        try:  # first of all: from here on a Ctrl-C is noted
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._handler = self._interrupted
                signal.signal(signal.SIGINT, self._handler)
            self._begin_to_be_woken()
        except ValueError:
            self._begun = False  # in another interpreter than the first, which has no signals
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
        self._end_to_be_woken()
        if self._handler is not None:  # last: a Ctrl-C is raised where it comes from here on
            if signal.getsignal(signal.SIGINT) == self._handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._handler = None
        make_calls()
        self._begun = False

    def _begin_to_be_woken(self) -> None:
        self._found_fd = -1
        self._wakeup_fd = self._poller.wakeup_fileno()
        self._others_fd = signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
        if self._others_fd != -1:
            self._end_to_be_woken()  # theirs ends the wait, too

    def _end_to_be_woken(self) -> None:
        if self._wakeup_fd is None:
            return
        found = signal.set_wakeup_fd(-1)
        if found not in (-1, self._wakeup_fd):  # the second time it is not there any more
            self._found_fd = found
        others = self._found_fd if self._found_fd != -1 else self._others_fd
        if others != -1:
            with suppress(OSError, ValueError):  # somebody else's, and he may have closed it
                signal.set_wakeup_fd(others)
        self._wakeup_fd = None

    def take_over(self) -> Callable[[int, FrameType | None], None]:
        """Return a handler of SIGINT, in whose place comes Python's when the loop ends."""
        handler = self._handler = self._interrupted
        return handler

    def _interrupted(self, signum: int, frame: FrameType | None) -> None:
        self.noted += 1
        if self.noted > 1:
            self.noted = 0
            raise KeyboardInterrupt
        self._wake()


def call_in_main(call: Callable[[], Any]) -> bool:
    """Have the main OS thread make a call: now if this is it, else between two turns of its loop.

    False: it runs no loop.
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
    """Make the calls that others have left to the main OS thread, which this is."""
    while _calls:
        _calls.popleft()()


class main_is_coming:
    """A block in which this OS thread is about to run its loop: if it is the main one, it makes calls as one that has.

    Others that serve the same scheduler may be there before it.
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
    """What stands for a handler that is to be put back: the loop's own comes and goes with the loop."""
    if handler is signal.default_int_handler or isinstance(getattr(handler, "__self__", None), CtrlC):
        return _active.take_over() if _active is not None else signal.default_int_handler
    return handler


def wakes_nobody(handler: F) -> F:
    """Mark a signal handler that ends no wait, for may_wake()."""
    setattr(handler, "wakes_nobody", True)
    return handler


def may_wake() -> bool:
    """Whether the program handles a signal by Python code of its own: that may wake who waits for nothing else."""
    return any(
        callable(handler)
        and handler is not signal.default_int_handler
        and not isinstance(getattr(handler, "__self__", None), CtrlC)
        and not getattr(handler, "wakes_nobody", False)
        for handler in map(signal.getsignal, signal.valid_signals())
    )


def _after_fork_in_child() -> None:
    """The handler and the wake-up descriptor are the parent's loop's, whichever OS thread has forked."""
    global _coming
    _calls.clear()
    _coming = 0
    if _active is not None:
        _active.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
