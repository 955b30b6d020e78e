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
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pollers import Poller


_active: Interrupts | None = None  # the one of the main OS thread, while its loop runs


class Interrupts:
    """A context: signals end the wait of `poller`, and `noted` counts the Ctrl-Cs that are yet to be delivered.

    `wake()` makes the loop look at it.
    """

    def __init__(self, poller: Poller, wake: Callable[[], None]) -> None:
        self._poller = poller
        self._wake = wake
        self._handler: Any = None
        self._wakeup_fd: int | None = None
        self.noted = 0

    def __enter__(self) -> None:
        global _active
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            previous = signal.set_wakeup_fd(-1)
        except ValueError:
            return  # in another interpreter than the first, which has no signals
        _active = self
        if previous == -1:
            self._wakeup_fd = self._poller.wakeup_fileno()
            signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
        else:
            signal.set_wakeup_fd(previous)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._handler = self._interrupted
            signal.signal(signal.SIGINT, self._handler)

    def __exit__(self, *_: object) -> None:
        global _active
        if _active is self:
            _active = None
        if self._handler is not None:
            if signal.getsignal(signal.SIGINT) == self._handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._handler = None
        if self._wakeup_fd is not None:
            current = signal.set_wakeup_fd(-1)
            if current not in (-1, self._wakeup_fd):
                with suppress(OSError, ValueError):  # somebody else's, and he may have closed it
                    signal.set_wakeup_fd(current)
            self._wakeup_fd = None

    def _interrupted(self, signum: int, frame: FrameType | None) -> None:
        self.noted += 1
        if self.noted > 1:
            self.noted = 0
            raise KeyboardInterrupt
        self._wake()


def _after_fork_in_child() -> None:
    """The handler and the wake-up descriptor are the parent's loop's, whichever OS thread has forked."""
    if _active is not None:
        _active.__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
