"""A coroutine in a context of its own.

What it sets in contextvars must not be seen by the next request of its connection, which may be another user's.
"""

from __future__ import annotations

from collections.abc import Generator
from contextvars import copy_context
from typing import Any, Self, cast

from ...threads.coroutines import is_coroutine, steps_of
from ..messages.compiled import compiled, tell


def _steps(made: Any) -> Any:
    if not is_coroutine(made):
        raise TypeError(f"the application returned {made!r}, which cannot be awaited: is it one for ASGI 3?")
    return steps_of(made)


class _Isolated:
    """Steps a coroutine: `yield from Isolated(coro)`. To whoever looks at the chain of a thread, it is a coroutine."""

    __slots__ = ("_run", "_send", "cr_await")

    cr_frame = None

    def __init__(self, made: Any) -> None:
        """Raises TypeError if `made` is no awaitable."""
        self.cr_await = _steps(made)
        self._send = self.cr_await.send
        self._run = copy_context().run

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._run(self._send, None)

    def send(self, value: object) -> Any:
        return self._run(self._send, value)

    def throw(self, *error: Any) -> Any:
        return self._run(self.cr_await.throw, *error)

    def close(self) -> None:
        self._run(self.cr_await.close)


tell(steps=_steps)
Isolated: Any = _Isolated if compiled is None else compiled.Isolated


class _Now:
    """Can be awaited any number of times, and never waits."""

    __slots__ = ()
    _ended = cast("Generator[Any, Any, None]", iter(()))

    def __await__(self) -> Generator[Any, Any, None]:
        return self._ended


NOW = _Now()
"""For functions that applications await, if there is nothing to wait for."""
