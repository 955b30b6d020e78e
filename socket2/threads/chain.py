"""The chain of `yield from` and `await` of a coroutine that waits: its links, and the errors that they are handling.

Read from outside, by any OS thread, while what is read goes on: nothing here calls into it or holds on to a frame.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Any

_KINDS = ("gi", "cr", "ag")

# Deeper than this a chain is cut: a recursion without end is best seen by its beginning.
_DEPTH_MAX = 1000

# What stands between an `await` and what it awaits, and has no attribute that leads on.
_BETWEEN = ("anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper")

behind: weakref.WeakKeyDictionary[Generator[Any, Any, Any], Any] = weakref.WeakKeyDictionary()
"""The coroutines that a generator stands in for and steps itself, so that no link leads on to them."""


def links_of(coro: Any) -> Iterator[Any]:
    coro = behind.get(coro, coro) if behind else coro
    for _ in range(_DEPTH_MAX):
        if coro is None:
            return
        yield coro
        coro = _next_link(coro)


def _next_link(coro: Any) -> Any:
    if type(coro).__name__ in _BETWEEN:
        return next((inner for inner in gc.get_referents(coro) if _has_frame(inner)), None)
    return coro.gi_yieldfrom if hasattr(type(coro), "gi_yieldfrom") else attribute(coro, "await")


def _has_frame(coro: Any) -> bool:
    return type(coro).__name__ in _BETWEEN or any(hasattr(type(coro), f"{kind}_frame") for kind in _KINDS)


def attribute(coro: Any, name: str) -> Any:
    """What a generator has as gi_..., a coroutine as cr_..., an async generator as ag_...; None of anything else."""
    for kind in _KINDS:
        if hasattr(type(coro), f"{kind}_{name}"):
            return getattr(coro, f"{kind}_{name}")
    return None


def handled_in(coro: Any) -> list[BaseException]:
    """Return what a coroutine that waits is handling, in a `finally` or an `except`; and what its variables have."""
    held = (one for link in links_of(coro) for one in gc.get_referents(link))
    return [one for one in held if isinstance(one, BaseException)]


def with_contexts(errors: Iterable[BaseException]) -> list[BaseException]:
    """Return them and those that they have come after."""
    found: list[BaseException] = []
    for one in errors:
        error: BaseException | None = one
        while error is not None and not any(known is error for known in found):
            found.append(error)
            error = error.__context__
    return found
