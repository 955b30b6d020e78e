"""Signals as calls in the loop: a handler runs wherever the interpreter happens to be, so it only notes that it ran."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from .scheduler import current_scheduler


class catching:
    """A block in which each of `signals` makes the loop call `func(signum)` between two steps.

    Afterwards the handlers are as before. A signal that is ignored, as SIGINT is in a background job of a shell, stays
    ignored. Python has handlers in the main OS thread only: in others the block does nothing.
    """

    def __init__(self, signals: Iterable[int], func: Callable[[int], Any]) -> None:
        self._signals = tuple(signals)
        self._func = func
        self._scheduler = current_scheduler()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in self._signals:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._note)

    def __exit__(self, *_: object) -> None:
        for signum, previous in self._previous.items():
            if signal.getsignal(signum) == self._note:
                signal.signal(signum, previous if previous is not None else signal.SIG_DFL)
        self._previous.clear()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._scheduler.post(lambda: self._func(signum))
