"""Signals as calls in the loop. Python may run a signal handler at any point, so ours only notes that the signal came.

Python installs and runs signal handlers in the main OS thread only. So all that catch a signal share one handler,
whatever OS thread they run in. The main OS thread installs it for the first of them and removes it after the last.
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

from .ctrl_c import as_it_is_now, call_in_main
from .lock import lock
from .scheduler import current_scheduler
from .sleeping import sleep
from .wait import Wait

# The main OS thread may be the last one to start serving. This is how long to wait for it, and how often to look.
COMES_S = 2.0
_AGAIN_S = 0.01

_UNCATCHABLE = frozenset(getattr(signal, name) for name in ("SIGKILL", "SIGSTOP") if hasattr(signal, name))

# The catchers of each signal. A tuple is replaced as a whole, because the signal handler takes no lock.
_catching: dict[int, tuple[catching, ...]] = {}

# The handlers to restore. Changed only in the main OS thread.
_previous: dict[int, Any] = {}


def checked(signals: Iterable[int]) -> tuple[int, ...]:
    """Return signal numbers, checked. Raises TypeError if one is not a number, ValueError if it cannot be caught."""
    numbers = tuple(operator.index(signum) for signum in signals)
    for number in numbers:
        if not 0 < number < signal.NSIG:
            raise ValueError(f"there is no signal {number}")
        if number in _UNCATCHABLE:
            raise ValueError(f"{name_of(number)} cannot be caught")
    return numbers


class catching:
    """Makes the loop call `func(signum)` for each of `signals`, between two steps, from begin() until end().

    Every catcher of a signal is called. After the last one ends, the old handler is restored. Unless `ignored_too`, an
    ignored signal stays ignored, such as SIGINT in a background job of a shell.
    """

    def __init__(self, signals: Iterable[int], func: Callable[[int], Any], *, ignored_too: bool = False) -> None:
        self._signals = tuple(dict.fromkeys(signals))
        self._func = func
        self._ignored_too = ignored_too
        self._scheduler = current_scheduler()
        self._ended = False

    @operation
    def begin(self) -> Generator[Any, None, None]:
        """Wait until the handlers are installed. Raises RuntimeError if the main OS thread runs no loop to do it."""
        if not self._signals:
            return
        installed = Wait("signal handlers to be installed by the main OS thread")
        try:
            until = self._scheduler.now() + COMES_S
            while True:  # see lock.py
                if call_in_main(partial(self._install, installed)):
                    break
                if self._scheduler.crew is None or self._scheduler.now() > until:
                    raise self._cannot_begin()
                yield from sleep(_AGAIN_S)
            if installed.error is not None or not installed.done:  # the main OS thread has installed them by now
                yield from installed.wait()
        except BaseException:
            self.end()
            raise

    def begin_soon(self, installed: Wait) -> None:
        """Install the handlers now if this is the main OS thread. Otherwise ask that to do it soon.

        Ends `installed`. Raises RuntimeError if the main OS thread runs no loop to do it; OSError or ValueError if this
        is the main OS thread and a handler cannot be installed.
        """
        try:
            if not call_in_main(partial(self._install, installed)):
                raise self._cannot_begin()
            error, installed.error = installed.error, None
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback has this frame: avoid a cycle
        except BaseException:
            self.end()
            raise

    def end(self, again: Iterable[int] = ()) -> None:
        """Stop catching. The main OS thread restores the handlers as soon as it can, at the latest at the next signal.

        Then the signals `again` are raised for the restored handlers, unless others still catch them.
        """
        try:
            self._end(again)
        except BaseException:  # a signal handler raised
            self._end(())
            raise

    def _end(self, again: Iterable[int]) -> None:
        with lock:
            self._ended = True  # also if begin() was given up and its call is still pending
            for signum in self._signals:
                _catching[signum] = tuple(one for one in _catching.get(signum, ()) if one is not self)
        if self._signals:
            call_in_main(partial(_put_back, self._signals))
        for signum in again:
            raise_again(signum)

    def _cannot_begin(self) -> RuntimeError:
        names = ", ".join(map(name_of, self._signals))
        return RuntimeError(
            f"{names}: signals can be caught only while the main OS thread runs a loop or serves with this one "
            "(with signals=() a server catches none)"
        )

    def _install(self, installed: Wait) -> None:
        error = None
        try:
            for signum in self._signals:
                try:
                    _install(signum, self)
                except (OSError, ValueError) as failure:
                    error = failure
        except BaseException as raised:
            # A signal handler raised this. It is for the main OS thread, and the waiter must be told, too.
            installed.fail(RuntimeError(f"a signal handler raised {raised!r} while others were being installed"))
            raise
        try:
            if error is not None:
                installed.fail(error)
            else:
                installed.finish()
        finally:
            del error  # its traceback has this frame: avoid a cycle

    def _note(self, signum: int) -> None:
        self._scheduler.post(partial(self._func, signum))


def _install(signum: int, one: catching) -> None:
    current = signal.getsignal(signum)
    before = _previous.get(signum) if current is _note else current
    if before is signal.SIG_IGN and not one._ignored_too:
        return
    with lock:
        if one._ended:
            return
        _catching[signum] = (*_catching.get(signum, ()), one)
    if current is not _note:
        _previous[signum] = current  # first, because a signal handler may raise in between
        signal.signal(signum, _note)


def _put_back(signals: Iterable[int]) -> None:
    for signum in signals:
        if not _catching.get(signum) and signum in _previous:
            if signal.getsignal(signum) is _note:
                previous = as_it_is_now(_previous[signum])
                signal.signal(signum, previous if previous is not None else signal.SIG_DFL)
            _previous.pop(signum, None)  # last, because a signal handler may raise in between


def raise_again(signum: int) -> None:
    """Raise a signal that nobody took, for the restored handler, unless others catch it. Call this after end()."""
    if not call_in_main(partial(_raise_again, signum)):
        _raise_again(signum)  # its handler, which the main OS thread runs, restores the earlier one


def _raise_again(signum: int) -> None:
    if not _catching.get(signum):
        signal.raise_signal(signum)


def is_default(signum: int) -> bool:
    """Whether the program has left a signal alone: it has the system's default action, or is caught here already."""
    return signal.getsignal(signum) in (signal.SIG_DFL, _note)


def name_of(signum: int) -> str:
    """Return the name of a signal, or its number if Python has no name for it, such as for SIGRTMIN+1."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def _note(signum: int, frame: FrameType | None) -> None:
    catchers = _catching.get(signum, ())
    for one in catchers:
        one._note(signum)
    if not catchers and signal.getsignal(signum) is _note:
        # The last catcher ended when the main OS thread ran no loop that could restore the handler.
        _put_back([signum])
        if signal.getsignal(signum) is not _note:
            signal.raise_signal(signum)


def _after_fork_in_child() -> None:
    """Restore the handlers. The servers are the parent's: ours would note signals for them, and never end the child."""
    for signum in _catching:
        _catching[signum] = ()
    _put_back(list(_previous))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
