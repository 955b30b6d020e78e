"""Reading a file that is being sent, so that a slow disk holds up nobody else.

What the system has in memory is read at once. An OS thread waits for the rest, or for all of it if the system cannot
tell.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import IO, Any

from ...threads.unbroken import call_unbroken

PIECE = 1 << 16
"""How many bytes are sent at a time. A client has a time for each piece."""

_NOWAIT = getattr(os, "RWF_NOWAIT", None)


def read_some(file: IO[bytes], offset: int, size: int) -> Generator[Any, None, bytes | bytearray]:
    """Read 1 to `size` bytes from `offset` on; b"" at the end of the file. Raises OSError."""
    fd = _descriptor(file)
    data = _at_once(fd, offset, size) if fd >= 0 else None
    if data is None:
        return (yield from call_unbroken(_read, file, fd, offset, size))
    return data


def in_memory(file: IO[bytes], offset: int, size: int) -> Generator[Any, None, None]:
    """Wait until the system has a part of the file in memory, if it can tell."""
    fd = _descriptor(file)
    if fd >= 0 and not (_is_ready(fd, offset) and _is_ready(fd, offset + size - 1)):
        yield from call_unbroken(_read, file, fd, offset, size)


def size_behind(file: IO[bytes], offset: int) -> Generator[Any, None, int]:
    """Return how many bytes of a file there are from `offset` on. Raises OSError."""

    def find() -> int:
        fd = _descriptor(file)
        return os.fstat(fd).st_size if fd >= 0 else file.seek(0, os.SEEK_END)

    return max((yield from call_unbroken(find)) - offset, 0)


def _descriptor(file: IO[bytes]) -> int:
    """Return the descriptor; -1 if it is an object that only behaves like a file. Raises ValueError if it is closed."""
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return -1


def _at_once(fd: int, offset: int, size: int) -> bytearray | None:
    """Read what is in memory, None if that is nothing, or the system cannot tell."""
    if _NOWAIT is None:
        return None
    buffer = bytearray(size)
    try:
        n = os.preadv(fd, [buffer], offset, _NOWAIT)
    except OSError:  # it would have to wait, or the file system cannot do this
        return None
    del buffer[n:]
    return buffer


def _is_ready(fd: int, offset: int) -> bool:
    """Whether the byte there is in memory, or behind the end. True if the system cannot tell."""
    if _NOWAIT is None:
        return True
    try:
        os.preadv(fd, [bytearray(1)], offset, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _read(file: IO[bytes], fd: int, offset: int, size: int) -> bytes:
    """Read up to `size` bytes, in an OS thread."""
    if fd >= 0 and hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    file.seek(offset)
    return file.read(size)
