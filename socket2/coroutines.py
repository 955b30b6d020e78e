"""What can be a thread: generators, coroutines, and whatever else can be awaited.

Knows Python's kinds of functions and what their mistakes look like; knows nothing of running them.
"""

from __future__ import annotations

from collections.abc import Generator
from types import CoroutineType, GeneratorType
from typing import Any


def is_coroutine(made: object) -> bool:
    return isinstance(made, (GeneratorType, CoroutineType)) or hasattr(type(made), "__await__")


def steps_of(made: Any) -> Any:
    """What send() and throw() work on."""
    if isinstance(made, (GeneratorType, CoroutineType)):
        return made
    return _steps_of_awaitable(made)


def _steps_of_awaitable(made: Any) -> Generator[Any, None, Any]:
    return (yield from made.__await__())


def is_bad_call(error: BaseException) -> bool:
    """Whether a call failed for its arguments, before any code of the function ran."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def no_wait(name: str, yielded: object, error: Exception) -> Exception:
    """What to throw into the thread `name`, which cannot be parked on what it has yielded."""
    if hasattr(yielded, "park"):
        return error
    missing = " (is it `yield` where `yield from` was meant?)" if isinstance(yielded, GeneratorType) else ""
    return TypeError(f"{name} waits for {yielded!r}, which is no operation of socket2{missing}")
