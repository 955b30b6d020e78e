"""The number of bytes that an operation is asked to receive, and how it is checked."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def length(n: Any) -> int:
    """Return the number of bytes `n` as an int.

    Raises TypeError if it is not a whole number, ValueError if it is negative, OverflowError if no buffer is so large.
    """
    number = operator.index(n)
    if number < 0:
        raise ValueError(f"the number of bytes to receive must not be negative: {number}")
    if number > sys.maxsize:
        raise OverflowError(f"no buffer can hold {number} bytes")
    return number


def room(buffer: WriteableBuffer, n: int) -> int:
    """Return how many bytes to receive into `buffer`: `n`, or its length if `n` is 0, as in the standard library.

    Raises TypeError if the buffer is read-only, ValueError if `n` is negative or longer than the buffer.
    """
    with memoryview(buffer) as view:
        if view.readonly:
            raise TypeError("the buffer must be writable")
        size = view.nbytes
    if length(n) > size:
        raise ValueError(f"the buffer has room for {size} bytes, not {n}")
    return n or size
