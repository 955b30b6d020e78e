"""Files on a disk, read and written in OS threads: the kernel has no way to wait for them.

The operations of one file take turns, so they are made in the order of the calls. What an OS thread has begun is not
cut short: a cancelled read would have moved the position of the file.
"""

from __future__ import annotations

import io
import operator
import os
import stat
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, AnyStr, Generic, TypeVar, cast, overload

import pollers
from pollers import Operation, operation

from ..sockets.socket import check_octets
from ..threads.block import Block
from ..threads.thread import currentthread, over_at_once
from ..threads.turns import Turns
from ..threads.unbroken import call_unbroken, unbroken

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import OpenBinaryMode, OpenTextMode, ReadableBuffer, StrOrBytesPath, WriteableBuffer

T = TypeVar("T")

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_NOCTTY = getattr(os, "O_NOCTTY", 0)


class File(pollers.Unique, Block, Generic[AnyStr]):
    """An open file whose methods are operations. open_file() makes it.

    The methods do what those of Python's file objects do, each in an OS thread and in the order of the calls, also if
    several threads call them. If an operation is cancelled or times out while it waits for its turn, it does nothing.
    If it has begun, it ends and delivers its result, and the cancellation is raised at the next wait: so a read never
    loses data, and what write() was given is in the file as a whole.

    `async with` closes it in an OS thread. A plain `with`, for generators, writes what is buffered and closes it at
    once; an operation that another thread has begun ends first. After that all operations raise ValueError.
    """

    __slots__ = ("__weakref__", "_changed", "_closing", "_running", "_turns", "wrapped")

    def __init__(self, wrapped: IO[AnyStr]) -> None:
        self.wrapped: IO[AnyStr] = wrapped
        """Python's file object, for what this class lacks. It blocks."""
        self._turns = Turns()
        self._changed = pollers.leakproof(threading.Lock())
        self._running = self._closing = False

    @property
    def name(self) -> Any:
        """The path that it was opened with."""
        return self.wrapped.name

    @property
    def mode(self) -> str:
        """The mode that it was opened with."""
        return self.wrapped.mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closing or self.wrapped.closed

    def fileno(self) -> int:
        """Return the descriptor. Raises ValueError if the file is closed."""
        return self.wrapped.fileno()

    def _do(self, func: Callable[..., T], *args: Any) -> Operation[T]:
        currentthread()
        call: Operation[T] = call_unbroken(self._make, func, args)
        return self._turns.through(f"turn at {self.name!r}", call)

    def _make(self, func: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Make a call, in an OS thread."""
        with self._changed:
            if self._closing:
                raise ValueError("I/O operation on closed file.")
            self._running = True
        try:
            return func(*args)
        finally:
            with self._changed:
                self._running = False
                closing = self._closing
            if closing:
                self.wrapped.close()

    def read(self, n: int = -1) -> Operation[AnyStr]:
        """Read up to `n` characters or bytes, -1 for all to the end. Empty at the end of the file."""
        return self._do(self.wrapped.read, _whole(n))

    def readline(self, limit: int = -1) -> Operation[AnyStr]:
        """Read a line with its end, up to `limit` characters or bytes. Empty at the end of the file.

        In a generator: `while line := (yield from file.readline()):`
        """
        return self._do(self.wrapped.readline, _whole(limit))

    def readlines(self, hint: int = -1) -> Operation[list[AnyStr]]:
        """Read lines to the end of the file, or until they have `hint` characters or bytes together."""
        return self._do(self.wrapped.readlines, _whole(hint))

    def readinto(self, buffer: WriteableBuffer) -> Operation[int]:
        """Read bytes into `buffer`. Return how many, 0 at the end. Raises AttributeError for a text file."""
        return self._do(cast(io.BufferedIOBase, self.wrapped).readinto, buffer)

    @overload
    def write(self: File[str], data: str) -> Operation[int]: ...
    @overload
    def write(self: File[bytes], data: ReadableBuffer) -> Operation[int]: ...
    def write(self, data: str | ReadableBuffer) -> Operation[int]:
        """Write all of `data`. Return its length. What is buffered is written by flush() and close()."""
        if not isinstance(self.wrapped, io.TextIOBase):
            check_octets(cast("ReadableBuffer", data))
        elif not isinstance(data, str):
            raise TypeError(f"a text file takes a str, not {type(data).__name__!r}")
        return self._do(cast(Any, self.wrapped).write, data)

    def writelines(self, lines: Iterable[AnyStr]) -> Operation[None]:
        """Write each of `lines`, without adding line ends. The iterable is read in an OS thread."""
        return self._do(self.wrapped.writelines, lines)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> Operation[int]:
        """Move the position, and return the new one. lseek(2)."""
        return self._do(self.wrapped.seek, operator.index(offset), operator.index(whence))

    def tell(self) -> Operation[int]:
        """Return the position."""
        return self._do(self.wrapped.tell)

    def truncate(self, size: int | None = None) -> Operation[int]:
        """Make the file `size` bytes long, None: as long as its position. Return the size. ftruncate(2)."""
        return self._do(self.wrapped.truncate, _whole(size))

    def flush(self) -> Operation[None]:
        """Write what is buffered. The system may still keep it in memory: see fsync(2)."""
        return self._do(self.wrapped.flush)

    def close(self) -> Operation[None]:
        """Write what is buffered, and close the file, after the operations before it. A second close does nothing.

        A cancellation or timeout does not cut it short. Raises OSError if the data cannot be written; the file is
        closed nevertheless.
        """
        currentthread()
        return self._close()

    @operation
    def _close(self) -> Generator[Any, None, None]:
        if self.closed and (turn := over_at_once()) is not None:
            yield from turn.wait()
        yield from self._leave()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            running = self._running
        if not running:  # else the call closes it
            self.wrapped.close()

    @operation
    def _leave(self) -> Generator[Any, None, None]:
        if not self.closed:
            closing: Operation[None] = call_unbroken(self.wrapped.close)
            yield from unbroken(self._turns.through(f"turn at {self.name!r}", closing))

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, AnyStr]:
        line = yield from self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def __repr__(self) -> str:
        return f"<File {self.name!r}, mode {self.mode!r}{', closed' if self.closed else ''}>"


@overload
def open_file(
    path: StrOrBytesPath,
    mode: OpenTextMode = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Operation[File[str]]: ...
@overload
def open_file(path: StrOrBytesPath, mode: OpenBinaryMode, buffering: int = -1) -> Operation[File[bytes]]: ...
@overload
def open_file(
    path: StrOrBytesPath,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Operation[File[Any]]: ...
def open_file(
    path: StrOrBytesPath,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Operation[File[Any]]:
    """Open a file on a disk: `file = yield from open_file("notes.txt")`. The arguments are those of Python's open().

    In an `async def` function: `async with await open_file("notes.txt") as file: async for line in file: ...`. It is
    opened in an OS thread. A cancellation or timeout leaves no open file behind: it opens none, or the file is returned
    and the cancellation is raised at the next wait. Raises OSError, as open() does; io.UnsupportedOperation for a FIFO
    or a terminal, where reads may take forever: use fd_stream(). RuntimeError outside a thread.
    """
    currentthread()
    if not isinstance(mode, str):
        raise TypeError(f"a mode must be a string, such as 'rb', not {mode!r}")
    path = os.fspath(path)
    with suppress(_Accepted):
        open(path, mode, buffering, encoding, errors, newline, opener=_accept)  # noqa: SIM115
    if "b" not in mode:  # open() looks at these when the file is open
        io.TextIOWrapper(io.BytesIO(), encoding or "utf-8", errors, newline)
    return _open_file(lambda: open(path, mode, buffering, encoding, errors, newline, opener=_opened))


class _Accepted(Exception):
    """open() has accepted its arguments."""


def _accept(path: str, flags: int) -> int:
    raise _Accepted


@operation
def _open_file(opening: Callable[[], IO[Any]]) -> Generator[Any, None, File[Any]]:
    return File((yield from call_unbroken(opening)))


def _whole(number: int | None) -> Any:
    """Return a number of bytes or characters, None for the default. Raises TypeError if it is neither."""
    return None if number is None else operator.index(number)


def _opened(path: str, flags: int) -> int:
    """Open a file, but not one that may block forever, now or later."""
    fd = os.open(path, flags | _NONBLOCK | _NOCTTY, 0o666)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(fd)):
            kind = "FIFO" if stat.S_ISFIFO(mode) else "terminal"
            raise io.UnsupportedOperation(f"{path!r} is a {kind}: use fd_stream(), which waits for it")
        if _NONBLOCK:
            os.set_blocking(fd, True)  # this description is ours alone
    except BaseException:
        os.close(fd)
        raise
    return fd
