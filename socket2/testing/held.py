"""An async generator with one `yield`, as a fixture of a test: it is run up to there, and to its end after the test.

One thread runs both parts. So a block that belongs to a thread, such as a group or a time limit, may contain the
`yield`. It must not know which loop that is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from ..threads.coroutines import awaiting
from ..threads.events import Event
from ..threads.loop import newthread
from ..threads.thread import Thread, all_ended


class Held:
    """`made`: the generator. `name`: of its thread."""

    def __init__(self, made: AsyncGenerator[Any, Any], name: str) -> None:
        self._made = made
        self._name = name
        self._begun = Event()
        self._ending = Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread: Thread[None] | None = None

    def begin(self) -> Generator[Any, None, Any]:
        """Return what the generator yields, or raise its error."""
        self._thread = newthread(self._play(), name=self._name)
        try:
            yield from self._begun.wait()
        except BaseException:
            self._thread.cancel()
            yield from all_ended([self._thread])
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None
        return self._value

    def end(self) -> Generator[Any, None, None]:
        """Let the generator run to its end. Raise its error, and RuntimeError if it yields once more."""
        if self._thread is not None:
            self._ending.set()
            yield from self._thread.join()

    def _play(self) -> Generator[Any, None, None]:
        try:
            self._value = yield from awaiting(self._made.__anext__())
        except StopAsyncIteration:
            self._error = RuntimeError(f"{self._name} ended without a yield")
            return
        except BaseException as error:
            self._error = error
            return
        finally:
            self._begun.set()
        try:
            yield from self._ending.wait()
        except BaseException as error:
            yield from self._past(self._made.athrow(error))
            raise
        yield from self._past(self._made.__anext__())

    def _past(self, step: Any) -> Generator[Any, None, None]:
        try:
            yield from awaiting(step)
        except StopAsyncIteration:
            return
        yield from awaiting(self._made.aclose())
        raise RuntimeError(f"{self._name} has more than one yield")
