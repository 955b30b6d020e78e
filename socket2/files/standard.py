"""The standard streams of the program as byte streams. Their descriptors belong to the program, and stay open."""

from __future__ import annotations

from pollers import Access

from .fdstream import FdStream
from .waitable import check_system


def stdin() -> FdStream:
    """Return the standard input as a byte stream: `lines = stream(stdin())`. Make one, and keep it.

    It reads descriptor 0, not what `sys.stdin` may have buffered. It does not change the terminal or pipe, which the
    shell and other processes have, too. Closing it leaves descriptor 0 open. If it is a file on a disk, it is read in
    OS threads. Raises io.UnsupportedOperation on Windows; OSError (EBADF) if the program has no standard input.
    """
    return _standard(0)


def stdout() -> FdStream:
    """Return the standard output as a byte stream, as stdin() does. It does not see what `sys.stdout` has buffered."""
    return _standard(1)


def stderr() -> FdStream:
    """Return the standard error output as a byte stream, as stdout() does."""
    return _standard(2)


def _standard(fd: int) -> FdStream:
    check_system()
    return FdStream(Access(fd), False, "")
