"""The decorator that makes operations of generator functions.

It knows whether checking is on, and loads the room `checked` only then.
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
    """Make a generator function one whose generators are operations: `yield from` and `await` take each of them once.

    A second thread that awaits one, or somebody who awaits it again, gets a RuntimeError, and the first goes on. With
    SOCKET2_CHECK=1 an operation that is dropped before its first step is reported.
    """
    made = cast(Callable[P, Operation[T]], once(func))
    if CHECKING:
        from .checked.watched import watched

        return watched(made)
    return made
