"""How many bytes an operation is asked to receive."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def length(n: Any) -> int:
    """Return a number of bytes as an int. TypeError for no whole number, ValueError below 0, OverflowError."""
    number = operator.index(n)
    if number < 0:
        raise ValueError(f"the number of bytes to receive must not be negative, not {number}")
    if number > sys.maxsize:
        raise OverflowError(f"no buffer has room for {number} bytes")
    return number


def room(buffer: WriteableBuffer, n: int) -> int:
    """How many bytes to receive into `buffer`, as the standard library counts: 0 is all of it."""
    with memoryview(buffer) as view:
        if view.readonly:
            raise TypeError("a writable buffer is needed")
        size = view.nbytes
    if length(n) > size:
        raise ValueError(f"the buffer has {size} bytes, not {n}")
    return n or size
