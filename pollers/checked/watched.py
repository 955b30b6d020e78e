"""Operations that know where they were made, and report this if nobody ever takes their first step.

The operations in C report this themselves, but they do not know where they were made, and those in Python report
nothing. If the result is unpacked, Python reports a different error. This module is used only if checking is on, since
it costs an object and a look at the stack for each operation.
"""

from __future__ import annotations

import dis
import functools
import sys
import warnings
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from ..forgotten import MISSING, OURS
from ..operation import Operation

P = ParamSpec("P")
T = TypeVar("T")

# The instructions of CPython that unpack a result or iterate over it.
_TAKES_APART = {"CALL_FUNCTION_EX", "FOR_ITER", "LIST_EXTEND", "UNPACK_EX", "UNPACK_SEQUENCE"}

_dropping = False


def place() -> str:
    """Return 'file:line' of the innermost caller outside this package and socket2."""
    return name_and_place()[1]


def name_and_place() -> tuple[str, str]:
    """Return the function of ours that the innermost caller outside has called, and 'file:line' of that call."""
    frame = sys._getframe(1)
    name = ""
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).split(".")[0] in OURS:
        name = frame.f_code.co_name
        frame = frame.f_back
    return name, f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Watched:
    """A wrapper for an operation. `yield from` and `await` take it as they take the operation."""

    def __init__(self, inner: Any, name: str, made_at: str) -> None:
        self._inner = inner
        self._started = False
        self.name = name
        self.made_at = made_at

    def __iter__(self) -> Generator[Any, None, Any]:
        begun, self._started = self._started, True
        if _takes_apart(sys._getframe(1)):
            if not begun:
                self._drop()
            raise TypeError(f"{self.name} made at {self.made_at} is unpacked or iterated over, not awaited: {MISSING}")
        if self._inner is None:
            raise RuntimeError(f"{self.name} made at {self.made_at} was dropped")
        return (yield from self._inner)  # the operation itself refuses to be awaited twice

    __await__ = __iter__

    def close(self) -> None:
        """Drop the operation on purpose: no warning follows."""
        self._started = True
        self._drop()

    def _drop(self) -> None:
        """Drop the inner operation without a report of its own: it was not awaited either."""
        global _dropping
        outermost, _dropping = not _dropping, True
        try:
            inner, self._inner = self._inner, None
            if inner is not None:
                inner.close()
            del inner  # since Python 3.13 this, and not close(), releases the arguments of a generator
        finally:
            _dropping = not outermost

    def __del__(self) -> None:
        if not self._started and not _dropping:
            self._drop()
            warnings.warn(
                f"{self.name} made at {self.made_at} was never awaited: {MISSING}",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )


def _takes_apart(frame: FrameType) -> bool:
    """Return whether the frame unpacks the operation or iterates over it: `data, sender = sock.recvfrom(10)`."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in _TAKES_APART


def watched(make: Callable[P, Operation[T]]) -> Callable[P, Operation[T]]:
    """Return a function that makes the same operations as `make`, but watched."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        name, made_at = name_and_place()
        return Watched(make(*args, **kwargs), make.__name__ if name == "made" else name, made_at)

    return made
