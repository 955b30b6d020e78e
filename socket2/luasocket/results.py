"""What a program does with results: drop some, turn errors into exceptions, and those into errors again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, ParamSpec

from ..threads.coroutines import is_coroutine
from .calls import call, outcome

P = ParamSpec("P")


class TryError(Exception):
    """What try_() and the functions that newtry() makes raise, for protect() to catch. `err`: the error it is about."""

    def __init__(self, err: Any) -> None:
        super().__init__(err)
        self.err = err


def skip(d: int, *values: Any) -> tuple[Any, ...]:
    """Return the values but for the first `d`: `skip(1, *sock.getsockname())`. ValueError for a negative number."""
    if d < 0:
        raise ValueError(f"skip() drops a number of values, not {d}")
    return values[d:]


def newtry(finalizer: Callable[[], Any] | None = None) -> Callable[..., tuple[Any, ...]]:
    """Return a function as try_(), which calls `finalizer()` before it raises. What that raises is dropped.

    A finalizer cannot wait: RuntimeError when it returns something to wait for.
    """

    def try_(*values: Any) -> tuple[Any, ...]:
        """Return the values, unless the first is None or False: then raise a TryError with the second, for protect().

        `try_(*sock.send(data))`, in a thread `try_(*(yield from sock.send(data)))`; one tuple will do as well.
        """
        if len(values) == 1 and isinstance(values[0], tuple):
            values = values[0]
        first: Any = values[0] if values else None
        if not values or is_coroutine(first):
            if values:
                first.close()
            raise TypeError("a try is of the results of a call: is a `yield from` or an `await` missing?")
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
    """Return a function that does what `func` does, and returns (None, err) where that raises an error of try_().

    Other exceptions pass. If `func` is a generator function or an `async def`, the result is a call: in a thread it is
    waited for.
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
