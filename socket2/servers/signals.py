"""Signals as calls in the loop: a handler runs wherever the interpreter happens to be, so it only notes that it ran.

Python lets the main OS thread alone install handlers, and runs them there. So there is one handler for all who catch a
signal, in whichever OS threads, and the main OS thread is asked to install it for the first and to remove it after the
last of them.
"""

from __future__ import annotations

import operator
import os
import signal
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import FrameType
from typing import Any

from pollers import operation

from ..threads.ctrl_c import as_it_is_now, call_in_main
from ..threads.lock import lock
from ..threads.scheduler import current_scheduler
from ..threads.sleeping import sleep
from ..threads.wait import Wait

# Of several OS threads the main one may be the last to come: so long it is waited for, and looked for so often.
COMES_S = 2.0
_AGAIN_S = 0.01

_UNCATCHABLE = frozenset(getattr(signal, name) for name in ("SIGKILL", "SIGSTOP") if hasattr(signal, name))

# Who catches a signal; changed under the lock, by tuples, so that the handler, which takes no lock, sees a whole one.
_catching: dict[int, tuple[catching, ...]] = {}

# The handlers from before. Changed in the main OS thread only.
_previous: dict[int, Any] = {}


def checked(signals: Iterable[int]) -> tuple[int, ...]:
    """Return the numbers of signals. TypeError for what is none, ValueError for one that cannot be caught."""
    numbers = tuple(operator.index(signum) for signum in signals)
    for number in numbers:
        if not 0 < number < signal.NSIG:
            raise ValueError(f"there is no signal {number}")
        if number in _UNCATCHABLE:
            raise ValueError(f"{name_of(number)} cannot be caught")
    return numbers


class catching:
    """Has the loop call `func(signum)` between two steps for each of `signals`, from begin() to end().

    All who catch a signal are called. When nobody does any more, the handler is as before. A signal that is ignored, as
    SIGINT is in a background job of a shell, stays ignored.
    """

    def __init__(self, signals: Iterable[int], func: Callable[[int], Any]) -> None:
        self._signals = tuple(dict.fromkeys(signals))
        self._func = func
        self._scheduler = current_scheduler()
        self._ended = False

    @operation
    def begin(self) -> Generator[Any, None, None]:
        """Return when the handlers are installed. RuntimeError when the main OS thread runs no loop, and cannot."""
        if not self._signals:
            return
        installed = Wait("signal handlers, which the main OS thread installs")
        try:
            until = self._scheduler.now() + COMES_S
            while not call_in_main(partial(self._install, installed)):
                if self._scheduler.crew is None or self._scheduler.now() > until:
                    raise RuntimeError(
                        "signals can be caught only while the main OS thread runs a loop, or serves with this one: "
                        "it does not, so pass signals=() and stop the server otherwise"
                    )
                yield from sleep(_AGAIN_S)
            if installed.error is not None or not installed.done:  # in the main OS thread it is done by now
                yield from installed.wait()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Catch no more. The handlers are put back as soon as the main OS thread comes to it."""
        try:
            self._end()
        except BaseException:  # a signal handler raised
            self._end()
            raise

    def _end(self) -> None:
        with lock:
            self._ended = True  # also if begin() was given up, and the call is still to be made
            for signum in self._signals:
                _catching[signum] = tuple(one for one in _catching.get(signum, ()) if one is not self)
        if self._signals:
            call_in_main(partial(_put_back, self._signals))

    def _install(self, installed: Wait) -> None:
        error = None
        try:
            for signum in self._signals:
                try:
                    _install(signum, self)
                except (OSError, ValueError) as failure:
                    error = failure
        except (
            BaseException
        ) as raised:  # by a signal handler: the main OS thread gets it, and the waiter has to be told
            installed.fail(RuntimeError(f"a signal handler raised {raised!r} while others were being installed"))
            raise
        if error is not None:
            installed.fail(error)
        else:
            installed.finish()

    def _note(self, signum: int) -> None:
        self._scheduler.post(partial(self._func, signum))


def _install(signum: int, one: catching) -> None:
    current = signal.getsignal(signum)
    if current is signal.SIG_IGN:
        return
    with lock:
        if one._ended:
            return
        _catching[signum] = (*_catching.get(signum, ()), one)
    if current is not _note:
        _previous[signum] = current  # first: a signal handler may raise in between
        signal.signal(signum, _note)


def _put_back(signals: Iterable[int]) -> None:
    for signum in signals:
        if not _catching.get(signum) and signum in _previous:
            if signal.getsignal(signum) is _note:
                previous = as_it_is_now(_previous[signum])
                signal.signal(signum, previous if previous is not None else signal.SIG_DFL)
            _previous.pop(signum, None)  # last: a signal handler may raise in between


def name_of(signum: int) -> str:
    """Its name, or a number where Python has none for it: SIGRTMIN and so on."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def _note(signum: int, frame: FrameType | None) -> None:
    for one in _catching.get(signum, ()):
        one._note(signum)


def _after_fork_in_child() -> None:
    """The servers are the parent's; signals would be noted for them, and never end the child."""
    for signum in _catching:
        _catching[signum] = ()
    _put_back(list(_previous))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
