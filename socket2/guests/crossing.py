"""Waiting in a thread for work that another event loop of this OS thread does.

The work has ended only when that loop says so. A cancellation or deadline of the thread asks it to end, and the thread
goes on waiting. So the work ends exactly once on both sides, and no result is lost. Must not know which loop it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pollers
from pollers import Cancelled, operation

from ..threads.thread import currentthread
from ..threads.wait import Wait


class Work(pollers.Unique):
    """What another loop does for a thread. That loop calls one of finish(), fail() and stop(), once."""

    __slots__ = ("_error", "_over", "_purpose", "_result", "_stopped", "_wait")

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._wait: Wait | None = None
        self._over = self._stopped = False
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def over(self) -> bool:
        return self._over

    def finish(self, result: Any) -> None:
        """The work has ended with a result."""
        self._result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """The work has ended with an error of its own."""
        self._error = error
        self._end()

    def stop(self) -> None:
        """The work has ended because it was asked to."""
        self._stopped = True
        self._end()

    def _end(self) -> None:
        self._over = True
        if self._wait is not None:
            self._wait.finish()

    @operation
    def until_over(self, ask_to_end: Callable[[], object]) -> Generator[Any, None, Any]:
        """Wait. Return the result, or raise the error.

        Each cancellation or deadline of the thread calls `ask_to_end()`. If the work then stops, the first one is
        raised now. Otherwise the work's own outcome is delivered, and the next wait raises it.
        """
        interruptions: list[BaseException] = []
        raised: BaseException | None = None
        try:
            while not self._over:
                self._wait = Wait(self._purpose)
                try:
                    yield from self._wait.wait()
                except Cancelled as error:
                    interruptions.append(error)
                    ask_to_end()
                except GeneratorExit:
                    ask_to_end()
                    raise
            raised = interruptions.pop(0) if self._stopped and interruptions else self._error
            me = currentthread()
            while interruptions:
                me.scheduler.interrupt(me, interruptions.pop(0))
            if raised is not None:
                raise raised
            return self._result
        finally:
            self._wait = self._error = self._result = raised = None  # their tracebacks have this frame: avoid a cycle
            interruptions.clear()
