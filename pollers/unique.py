"""What there is once. A copy would be a second owner of the same descriptor, or of half of the same state."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class Unique:
    """Not to be copied, nor pickled."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"cannot copy or pickle {type(self).__name__!r} object")
