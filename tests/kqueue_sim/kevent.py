"""select.kevent: the struct, with CPython's checks and wrapping."""

from __future__ import annotations

import functools
import operator
from typing import Any

from .abi import WIDTHS

_FIELDS = tuple(WIDTHS)


@functools.total_ordering
class kevent:
    """`ident` is a number or has a fileno(). flags, fflags and udata wrap at their width; the other fields overflow."""

    __slots__ = _FIELDS
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, ident: Any, filter: int = -1, flags: int = 1, fflags: int = 0, data: int = 0, udata: int = 0):
        self.ident = _in_range(_number_of(ident), 0, 1 << WIDTHS["ident"])
        self.filter = _signed("filter", filter)
        self.flags = _wrapped("flags", flags)
        self.fflags = _wrapped("fflags", fflags)
        self.data = _signed("data", data)
        self.udata = _wrapped("udata", udata)

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


def _wrapped(field: str, number: int) -> int:
    return operator.index(number) & (1 << WIDTHS[field]) - 1


def _signed(field: str, number: int) -> int:
    half = 1 << WIDTHS[field] - 1
    return _in_range(operator.index(number), -half, half)


def _in_range(number: int, low: int, end: int) -> int:
    if not low <= number < end:
        raise OverflowError("Python int too large to convert to C int")
    return number
