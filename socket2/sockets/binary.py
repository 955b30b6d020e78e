"""Files whose bytes are sent."""

from __future__ import annotations

import io
from typing import IO, Any, Protocol


class Wrapping(Protocol):
    """A File of open_file(), as sendfile() sees it."""

    wrapped: IO[bytes]


def binary_source(file: IO[bytes] | Wrapping) -> IO[bytes]:
    """Return Python's file object. Raises ValueError if it is open for text, TypeError if it is no file."""
    source: Any = getattr(file, "wrapped", file)
    if "b" not in getattr(source, "mode", "b"):
        raise ValueError("the file must be opened in binary mode")
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise TypeError(f"expected a file opened in binary mode, not {file!r}")
    return source  # type: ignore[no-any-return]


def can_seek(file: IO[bytes]) -> bool:
    return hasattr(file, "seek") and (not hasattr(file, "seekable") or file.seekable())
