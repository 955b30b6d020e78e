"""`with signals(...)`: threads that take the signals that arrive, one after another.

Knows a line of waiting threads, and how signals become calls (catching.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Closed, Operation, operation

from .catching import catching, checked, name_of, raise_again
from .deadline import within
from .line import Line, Place
from .lock import locked
from .scheduler import current_scheduler, leave_to_loop
from .thread import over_at_once
from .wait import Wait

if TYPE_CHECKING:
    from typing import Self


class _Arrival(Place):
    """A wait for a signal. It is not hopeless: the kernel may end it."""

    __slots__ = ()
    hopeless = False


class _Installation(Wait):
    """Tells the block if the main OS thread cannot install its handlers."""

    __slots__ = ("_block",)

    def __init__(self, block: signals) -> None:
        super().__init__("signal handlers to be installed by the main OS thread")
        self._block = block

    def fail(self, error: BaseException) -> bool:
        self._block._fail(str(error))
        return super().fail(error)


class signals(pollers.Unique):
    """A block in which signals wait for a thread to take them: `with signals(SIGHUP, SIGTERM) as got:`.

    In the block, `signum = yield from got.next()` waits for the next signal. A coroutine may write `async for signum in
    got:` as well. Signals are taken in the order of their arrival, and each by one thread. The signals do nothing else
    meanwhile: SIGTERM does not end the process, and SIGINT raises no KeyboardInterrupt. Signals that are ignored are
    taken, too.

    The kernel may merge signals of one number that arrive in quick succession, and so may Python while it runs one
    long call. So a signal means that it was sent at least once since it was last taken (signal(7)).

    When the block ends, the earlier handlers are restored, unless the program has installed another one meanwhile.
    Signals that nobody has taken are then raised again, for these handlers. Blocks may be nested, and several may catch
    the same signal, as serve() does: each block gets it.

    Python runs signal handlers in the main OS thread. Any other OS thread may run the block if the main OS thread
    runs a loop, this one or its own. It then installs the handlers between two of its steps, and `async with` waits
    for that.

    Raises ValueError without a signal, and for a number that is no signal or one that cannot be caught, such as SIGKILL
    (Windows: all but SIGINT, SIGBREAK and those that the C library raises itself, see signal.signal()); TypeError for
    what is not a number. Entering the block raises RuntimeError if the main OS thread runs no loop, OSError or
    ValueError if the system refuses the signal.
    """

    __slots__ = ("_catcher", "_ended", "_entered", "_failure", "_line", "_numbers", "_waiting")

    def __init__(self, *signals: int) -> None:
        self._numbers = tuple(dict.fromkeys(checked(signals)))
        if not self._numbers:
            raise ValueError("signals() needs at least one signal")
        self._catcher: catching | None = None  # while the block lasts: it refers to this object
        self._waiting: deque[int] = deque()  # arrived, and not taken
        self._line = Line()
        self._entered = self._ended = False
        self._failure: str | None = None  # why the handlers could not be installed

    def next(self, timeout_s: float | None = None) -> Operation[int]:
        """Take the first signal that has arrived, or wait for one, and return its number.

        Raises TimeoutError after `timeout_s` seconds; None: no limit. After a timeout or cancellation no signal has
        been taken. Raises Closed if the block has ended, and RuntimeError if it has not begun; ValueError if
        `timeout_s` is negative or NaN.
        """
        if not self._entered:
            raise RuntimeError("signals are caught only inside the block: `with signals(...) as got:`")
        return within(timeout_s, self._next)

    @operation
    def _next(self) -> Generator[Any, None, int]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        got = self._take()
        signum: int = (yield from self._line.stay(got, self._take_back)) if isinstance(got, Place) else got
        return signum

    # The block.

    def _begin(self) -> catching:
        if self._entered:
            raise RuntimeError("this block has been entered already")
        self._entered = True
        self._catcher = catching(self._numbers, self._arrive, ignored_too=True)
        return self._catcher

    def __enter__(self) -> Self:
        catcher = self._begin()
        try:
            catcher.begin_soon(_Installation(self))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        catcher = self._begin()
        try:
            yield from catcher.begin()
        except BaseException:
            self._end()
            raise
        return self

    @operation
    def __aexit__(self, *_: object) -> Generator[Any, None, None]:
        self._end()
        yield from ()

    def _end(self) -> None:
        leftover: list[int] = []
        try:
            self._leave_with(leftover)
        except BaseException:  # a signal handler raised
            self._leave_with(leftover)
            raise

    def _leave_with(self, leftover: list[int]) -> None:
        """Restore the handlers, and raise again what nobody has taken. A second call does the rest of the first."""
        catcher = self._catcher
        if catcher is not None:
            self._close(leftover)
            catcher.end(leftover)
            self._catcher = None
        if not leave_to_loop(self._dismiss):
            self._dismiss()

    # State, changed without a wait.

    def _arrive(self, signum: int) -> None:
        """Note a signal. The loop calls this between two steps."""
        if not self._give(signum):
            raise_again(signum)

    @locked
    def _give(self, signum: int) -> bool:
        """Give a signal to the first waiting thread, or keep it. Return False if the block has ended."""
        if self._ended:
            return False
        if self._line.call(signum) is None:
            self._waiting.append(signum)
        return True

    @locked
    def _take(self) -> int | Place:
        """Take the first signal that has arrived. If there is none, return a place to wait at."""
        if self._waiting:
            return self._waiting.popleft()
        if self._ended or self._failure is not None:
            raise self._over()
        place = _Arrival(f"one of {self._names()}")
        self._line.add(place)
        return place

    @locked
    def _take_back(self, signum: int) -> None:
        """Undo the wait of a thread that was interrupted after the signal had come."""
        if self._ended:
            current_scheduler().post(partial(self._arrive, signum))  # no handler is called under the lock
        elif self._line.call(signum) is None:
            self._waiting.appendleft(signum)

    @locked
    def _close(self, leftover: list[int]) -> None:
        """Let no signal in any more, and move those that nobody has taken to `leftover`."""
        self._ended = True
        leftover += self._waiting
        self._waiting.clear()

    @locked
    def _dismiss(self) -> None:
        """Wake the threads that wait."""
        self._line.dissolve(self._over)

    @locked
    def _fail(self, failure: str) -> None:
        self._failure = failure
        self._dismiss()

    def _over(self) -> Exception:
        if self._failure is not None:
            return RuntimeError(f"cannot catch {self._names()}: {self._failure}")
        return Closed("the block in which signals are caught has ended")

    def _names(self) -> str:
        return ", ".join(map(name_of, self._numbers))

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, int]:
        try:
            return (yield from self.next())
        except Closed:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        state = "" if self._entered else ", not begun"
        state = ", ended" if self._ended else state
        return f"<signals {self._names()}{state}, {len(self._waiting)} arrived>"
