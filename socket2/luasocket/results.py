"""Using results: drop some values, turn errors into exceptions, and turn those back into errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, ParamSpec

from ..threads.coroutines import is_coroutine
from .calls import call, outcome

P = ParamSpec("P")


class TryError(Exception):
    """Raised by try_() and by functions from newtry(), for protect() to catch. `err`: the original error."""

    def __init__(self, err: Any) -> None:
        super().__init__(err)
        self.err = err


def skip(d: int, *values: Any) -> tuple[Any, ...]:
    """Return all values except the first `d`: `skip(1, *sock.getsockname())`. Raises ValueError if `d` is negative."""
    if d < 0:
        raise ValueError(f"skip() needs a number of values, not {d}")
    return values[d:]


def newtry(finalizer: Callable[[], Any] | None = None) -> Callable[..., tuple[Any, ...]]:
    """Return a function like try_() that calls `finalizer()` before it raises. Errors of the finalizer are dropped.

    A finalizer cannot wait: if it returns something to wait for, RuntimeError is raised.
    """

    def try_(*values: Any) -> tuple[Any, ...]:
        """Return the values. If the first is None or False, raise TryError with the second, for protect() to catch.

        `try_(*sock.send(data))`; in a thread `try_(*(yield from sock.send(data)))`. A single tuple works, too.
        """
        if len(values) == 1 and isinstance(values[0], tuple):
            values = values[0]
        first: Any = values[0] if values else None
        if not values or is_coroutine(first):
            if values:
                first.close()
            raise TypeError("try_() needs the results of a call: is a `yield from` or an `await` missing?")
        if first is not None and first is not False:
            return values
        done: Any = None
        with suppress(Exception):
            done = finalizer() if finalizer is not None else None
        if is_coroutine(done):
            done.close()
            raise RuntimeError("a finalizer cannot wait")
        raise TryError(values[1] if len(values) > 1 else None)

    return try_


try_ = newtry()


def protect(func: Callable[P, Any]) -> Callable[P, Any]:
    """Return a function that works like `func`, but returns (None, err) if that raises a TryError.

    Other exceptions pass through. If `func` is a generator function or `async def`, the result is a call that a thread
    waits for.
    """

    @functools.wraps(func)
    def protected(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            made = func(*args, **kwargs)
        except TryError as error:
            return None, error.err
        return _protected(made) if is_coroutine(made) else made

    return protected


@call
def _protected(made: Any) -> Generator[Any, None, Any]:
    try:
        return (yield from outcome(made))
    except TryError as error:
        return None, error.err
