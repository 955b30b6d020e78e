"""select.kevent: the struct, with what CPython checks and what it lets wrap."""

from __future__ import annotations

import functools
import operator
from typing import Any

_FIELDS = ("ident", "filter", "flags", "fflags", "data", "udata")


@functools.total_ordering
class kevent:
    """`ident` is a number or has a fileno(). flags, fflags and udata wrap at their width; the others overflow."""

    __slots__ = _FIELDS
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, ident: Any, filter: int = -1, flags: int = 1, fflags: int = 0, data: int = 0, udata: int = 0):
        self.ident = _in_range(_number_of(ident), 0, 1 << 64)
        self.filter = _in_range(operator.index(filter), -(1 << 15), 1 << 15)
        self.flags = operator.index(flags) & 0xFFFF
        self.fflags = operator.index(fflags) & 0xFFFFFFFF
        self.data = _in_range(operator.index(data), -(1 << 63), 1 << 63)
        self.udata = operator.index(udata) & (1 << 64) - 1

    def copy(self) -> kevent:
        return kevent(*self._values())

    def _values(self) -> tuple[int, ...]:
        return tuple(getattr(self, field) for field in _FIELDS)

    def __eq__(self, other: object) -> Any:
        return self._values() == other._values() if isinstance(other, kevent) else NotImplemented

    def __lt__(self, other: object) -> Any:
        return self._values() < other._values() if isinstance(other, kevent) else NotImplemented

    def __repr__(self) -> str:
        return (
            f"<select.kevent ident={self.ident} filter={self.filter} flags={self.flags:#x} fflags={self.fflags:#x} "
            f"data={self.data & (1 << 64) - 1:#x} udata={self.udata:#x}>"
        )


def _number_of(ident: Any) -> int:
    if isinstance(ident, int):
        return ident
    if not hasattr(ident, "fileno"):
        raise TypeError("argument must be an int, or have a fileno() method.")
    fd: int = ident.fileno()
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def _in_range(number: int, low: int, end: int) -> int:
    if not low <= number < end:
        raise OverflowError("Python int too large to convert to C int")
    return number
