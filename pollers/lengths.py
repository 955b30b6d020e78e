"""How many bytes an operation is asked to receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def length(n: int, nothing: bytes) -> bytes:
    """Return `nothing`, which is what comes of asking for nothing. ValueError for a negative number."""
    if n < 0:
        raise ValueError(f"the number of bytes to receive must not be negative, not {n}")
    return nothing


def room(buffer: WriteableBuffer, n: int) -> int:
    """How many bytes to receive into `buffer`, as the standard library counts: 0 is all of it."""
    with memoryview(buffer) as view:
        if view.readonly:
            raise TypeError("a writable buffer is needed")
        size = view.nbytes
    if n < 0:
        raise ValueError(f"the number of bytes to receive must not be negative, not {n}")
    if n > size:
        raise ValueError(f"the buffer has {size} bytes, not {n}")
    return n or size
