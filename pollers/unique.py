"""Objects that cannot be copied. A copy would be a second owner of the same descriptor or of part of the same state."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class Unique:
    """A base class whose objects can be neither copied nor pickled."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError(f"cannot copy or pickle {type(self).__name__!r} object")
