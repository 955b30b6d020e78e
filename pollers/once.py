"""Operations that are awaited once: an object holds a generator, and gives it to the first await.

A generator alone cannot notice that a second thread steps it, and after its end it returns None as if that were its
result. This module must not know sockets or pollers. once.c is the same in C, which costs a third of this.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ParamSpec

from . import forgotten as forgotten  # the operations in C look for it among the loaded modules

P = ParamSpec("P")


class _Once:
    """An operation. `yield from` and `await` take it once."""

    __slots__ = ("_steps", "_taken")

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps: Generator[Any, None, Any] | None = steps

    def __iter__(self) -> Generator[Any, None, Any]:
        steps = self._steps
        if steps is None:
            raise awaited_already(self._taken.gi_frame is None)
        self._taken: Any = steps
        self._steps = None
        return steps

    __await__ = __iter__

    def close(self) -> None:
        """Drop the operation on purpose before its first step."""
        if self._steps is not None:
            iter(self)
        self._taken.close()

    def __repr__(self) -> str:
        steps: Any = self._steps or self._taken
        return text_of(steps.__qualname__, self._steps is None, steps.gi_frame is None)


class _Lazy:
    """The base of operations that make their steps when they are awaited. In C it reports those that never are."""

    __slots__ = ("pending",)

    pending: Any  # what makes their attempt; None once they are awaited


def awaited_already(ended: bool) -> RuntimeError:
    """Return the error of a second await: during the first one, or after it has `ended`."""
    return RuntimeError(f"this operation {'has been' if ended else 'is being'} awaited already")


def text_of(name: str, awaited: bool, ended: bool) -> str:
    """Return the repr() of an operation."""
    return f"<operation {name}, {'not begun' if not awaited else 'ended' if ended else 'awaited'}>"


def _once(func: Callable[P, Generator[Any, None, Any]]) -> Callable[P, _Once]:
    """Turn a generator function into one that returns operations."""

    @functools.wraps(func)
    def made(*args: P.args, **kwargs: P.kwargs) -> _Once:
        return _Once(func(*args, **kwargs))

    return made


def _in_c() -> Any:
    if os.environ.get("SOCKET2_NATIVE") == "0":
        return None
    try:
        return importlib.import_module("._once", __package__)
    except ImportError:
        return None


_compiled = _in_c()
Once: Any = _Once if _compiled is None else _compiled.Once
once: Any = _once if _compiled is None else _compiled.once

if TYPE_CHECKING:
    Lazy = _Lazy
else:
    Lazy = _Lazy if _compiled is None else _compiled.Lazy
