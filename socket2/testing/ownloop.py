"""The loop of one test: new when the test begins, and checked when it ends.

Knows how a loop takes the place of another one in its OS thread, and what must not be left. A failure is told as the
first thing that went wrong: as the error of a thread in the background, not as the wait that it has left without an
end.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from typing import Any

import pollers
from pollers import Cancelled, Poller

from ..debug.listing import stacks, table
from ..debug.snapshot import Snapshot
from ..threads import loop
from ..threads.coroutines import awaiting, is_coroutine, name_of
from ..threads.member import Member
from ..threads.scheduler import Scheduler, local
from ..threads.thread import Thread, currentthread
from .jumping import InPlace, JumpingClock
from .overdue import interrupt_main, overdue
from .remains import Remains
from .reports import reported

# How long a test that is overdue may take to end before something stronger is tried.
_GRACE_S = 2.0

# How long after one Ctrl-C the next one comes.
_BETWEEN_S = 0.2

_FORGOTTEN = "was never awaited"


class Hung(AssertionError):
    """A run of the loop took longer than its limit. The message shows what each thread was doing."""


class LeftBehind(AssertionError):
    """A test has left something behind. The message names each thing."""


class Loop:
    """A loop of its own for one test: `with Loop() as loop: loop.run(main)`.

    Within the block it is the loop of this OS thread, and afterwards the former one is back. The end of the block
    cancels what is left. If the block raised nothing itself, its end raises:

    - the errors of threads that nobody joined and of a server's handlers, unless `allow_errors`;
    - LeftBehind for threads, timers, sockets and other descriptors, and OS threads that are left, and for sockets that
      were dropped without a close() and operations that were never awaited, unless `allow_leaks`.

    Such an error also cancels the thread that run() waits for, and run() raises the error, so a test fails at once.

    `poller`: the name of a poller, by default as in every program. `autojump`: use a JumpingClock; it is `clock` then.
    `limit_s`: how many seconds of real time each run() may take; None for any. `report(text)` is called if a test that
    takes longer is not in a wait, and may never come to one. It is called in another OS thread.
    """

    def __init__(
        self,
        poller: str | None = None,
        *,
        autojump: bool = False,
        limit_s: float | None = 60.0,
        allow_errors: bool = False,
        allow_leaks: bool = False,
        report: Callable[[str], object] | None = None,
    ) -> None:
        if limit_s is not None and not limit_s > 0:
            raise ValueError(f"limit_s must be more than 0 seconds, not {limit_s!r}")
        self.clock: JumpingClock | None = None
        self._poller_name = poller
        self._autojump = autojump
        self._limit_s = limit_s
        self._allow_errors = allow_errors
        self._allow_leaks = allow_leaks
        self._report = report
        self._errors: list[BaseException] = []
        self._main: Thread[object] | None = None
        self._runs = False
        self._hung = ""
        self._overran = self._told = False
        self._stack = ExitStack()
        self._warned: list[warnings.WarningMessage] = []

    def __enter__(self) -> Loop:
        former, member = local.scheduler, local.member
        if isinstance(member, Member) and (member.running or member.current is not None):
            raise RuntimeError("the loop of this OS thread is running: a test needs one of its own")
        self._scheduler = Scheduler(self._make_poller())
        if self.clock is not None:
            self._scheduler.caller = InPlace()
        self._member = Member(self._scheduler)
        self._os_thread = threading.current_thread()
        local.scheduler, local.member = self._scheduler, self._member
        self._stack.callback(self._restore, former, member)
        if not self._allow_errors:
            self._stack.enter_context(reported(self._failed))
        self._warned = self._stack.enter_context(warnings.catch_warnings(record=True))
        warnings.filterwarnings("always", "unclosed ", ResourceWarning)  # not ignored, nor an error in a __del__
        warnings.filterwarnings("always", f".*{_FORGOTTEN}", RuntimeWarning)
        self._remains = Remains(self._scheduler)
        return self

    def _make_poller(self) -> Poller:
        poller = pollers.choose(self._poller_name)
        if not self._autojump:
            return poller
        self.clock = JumpingClock(poller)
        return self.clock

    def _restore(self, scheduler: Scheduler | None, member: Any) -> None:
        local.scheduler, local.member = scheduler, member

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(check=kind is None)

    def close(self, check: bool = True) -> None:
        """Do what the end of the block does. Without `check`, raise nothing."""
        left: list[str] = []
        with self._stack:
            if check and not self._allow_leaks:
                left += self._remains.left()
            self._member.close()
        for warning in self._warned:
            if _is_leak(warning):
                left.append(str(warning.message))
            else:
                kind, where = warning.category, (warning.filename, warning.lineno)
                warnings.warn_explicit(warning.message, kind, *where, source=warning.source)
        self._warned.clear()
        errors, self._errors = self._errors, []
        if left and not self._allow_leaks:
            errors.append(LeftBehind("left behind:\n" + "\n".join(f"  {what}" for what in left)))
        try:
            if check:
                _raise(errors)
        finally:
            del errors

    def run(self, main: Any, *args: Any, **kwargs: Any) -> Any:
        """Run `main` in this loop, as socket2.run() does.

        Raises Hung when the limit is over. `main` has been cancelled then, or interrupted as by Ctrl-C if it did not
        reach a wait.
        """
        __tracebackhide__ = True
        try:
            return self._run(main, args, kwargs)
        except KeyboardInterrupt:
            if not self._overran:
                raise
            raise Hung(self._hung) from None

    def _run(self, main: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        __tracebackhide__ = True
        self._hung, self._overran, self._told, self._runs = "", False, False, True
        if self._limit_s is not None:
            overdue.begin(self._limit_s, self._overdue)
        try:
            result = loop.run(self._steps(main, args, kwargs))
        except BaseException as error:
            if self._hung:
                raise Hung(self._hung) from error
            errors, self._errors = self._errors, []
            if errors and isinstance(error, Cancelled):
                raise _one(errors) from None
            for other in errors:
                error.add_note(f"also failed: {other!r}, {' '.join(getattr(other, '__notes__', ()))}")
            raise
        finally:
            self._runs = False
            overdue.end()
        if self._hung:
            raise Hung(self._hung)
        errors, self._errors = self._errors, []
        _raise(errors)
        return result

    def _steps(self, main: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, None, Any]:
        __tracebackhide__ = True
        self._main = currentthread()
        self._main.rename(name_of(main) or "main")
        try:
            made = main if is_coroutine(main) else main(*args, **kwargs)
            return (yield from awaiting(made)) if is_coroutine(made) else made
        finally:
            self._main = None

    # What ends a run before its time.

    def _failed(self, error: BaseException) -> None:
        self._errors.append(error)
        with suppress(RuntimeError):  # the loop has been shut down
            self._scheduler.post(self._cancel_main)

    def _cancel_main(self) -> None:
        if self._main is not None and self._errors:  # it may be another run by now
            self._main.cancel()

    def _overdue(self) -> float | None:
        """The limit is over. Return after how many seconds to call this again. It runs in another OS thread."""
        if not self._runs:
            return None
        with suppress(RuntimeError):  # the loop has been shut down
            if not self._overran:
                self._overran = True
                self._scheduler.post(self._tell)
            elif self._told:  # the test goes on in spite of the cancellation
                self._member.stop()
            else:
                return self._break_out()
        return _GRACE_S

    def _tell(self) -> None:
        """The loop is not blocked: this is called between two steps."""
        if self._main is not None and self._overran:  # it may be another run by now
            self._told = True
            self._hung = self._hung or self._text()
            self._main.cancel()

    def _break_out(self) -> float:
        """Do what Ctrl-C does. The loop only notes the first one, and the second one is raised at once."""
        if not self._hung:
            self._hung = self._text()
            if self._report is not None:
                self._report(self._hung)
        if self._os_thread is threading.main_thread() and interrupt_main():
            return _BETWEEN_S
        return _GRACE_S

    def _text(self) -> str:
        with Snapshot() as now:
            infos = [info for info in now.threads() if info.thread.scheduler is self._scheduler]
            found = f"{table(infos)}\n{stacks(infos)}"
        return f"the test has not ended within {self._limit_s:g} s\n\n{found}"


def _is_leak(warning: warnings.WarningMessage) -> bool:
    if issubclass(warning.category, ResourceWarning):
        return type(warning.source).__module__.partition(".")[0] == "socket2"
    return issubclass(warning.category, RuntimeWarning) and _FORGOTTEN in str(warning.message)


def _one(errors: list[BaseException]) -> BaseException:
    return errors[0] if len(errors) == 1 else BaseExceptionGroup("several errors in the background", errors)


def _raise(errors: list[BaseException]) -> None:
    __tracebackhide__ = True
    if errors:
        raise _one(errors)
