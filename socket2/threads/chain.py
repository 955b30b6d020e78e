"""The chain of nested coroutines of a waiting thread: its links, and the exceptions that they handle.

Any OS thread may read a chain while the thread runs on. So this module runs no code of the chain, and keeps no frame.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterable, Iterator
from typing import Any

_KINDS = ("gi", "cr", "ag")

# A longer chain is cut here. Its first links are enough to recognise an endless recursion.
_DEPTH_MAX = 1000

# Types that stand between an `await` and the awaited object. They have no attribute for the next link.
_BETWEEN = ("anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper")

behind: weakref.WeakKeyDictionary[Generator[Any, Any, Any], Any] = weakref.WeakKeyDictionary()
"""For each generator that steps another coroutine itself: that coroutine. No attribute leads from one to the other."""


def links_of(coro: Any) -> Iterator[Any]:
    """Yield the coroutines of a chain, the outermost first."""
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
    """Return gi_`name` of a generator, cr_`name` of a coroutine, ag_`name` of an async generator; else None."""
    for kind in _KINDS:
        if hasattr(type(coro), f"{kind}_{name}"):
            return getattr(coro, f"{kind}_{name}")
    return None


def handled_in(coro: Any) -> list[BaseException]:
    """Return the exceptions that a waiting coroutine handles in a `finally` or `except`, or has in a variable."""
    held = (one for link in links_of(coro) for one in gc.get_referents(link))
    return [one for one in held if isinstance(one, BaseException)]


def with_contexts(errors: Iterable[BaseException]) -> list[BaseException]:
    """Return the errors, and those in the chain of each one's __context__."""
    found: list[BaseException] = []
    for one in errors:
        error: BaseException | None = one
        while error is not None and not any(known is error for known in found):
            found.append(error)
            error = error.__context__
    return found
