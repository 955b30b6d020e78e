"""The decorator that turns generator functions into functions that make operations.

It knows whether checking is on, and loads `checked` only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any, Final, ParamSpec, TypeVar, cast

from .once import once
from .operation import Operation

P = ParamSpec("P")
T = TypeVar("T")

CHECKING: Final = os.environ.get("SOCKET2_CHECK", "") not in ("", "0")


def operation(func: Callable[P, Generator[Any, None, T]]) -> Callable[P, Operation[T]]:
    """Turn a generator function into one that returns operations, for `yield from` and `await`.

    Each operation can be awaited once. A second await raises RuntimeError, and the first one continues. One that is
    dropped before its first step causes a RuntimeWarning, in pure Python only with SOCKET2_CHECK=1.
    """
    made = cast(Callable[P, Operation[T]], once(func))
    if CHECKING:
        from .checked.watched import watched

        return watched(made)
    return made
