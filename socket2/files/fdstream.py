"""Byte streams over descriptors that are no sockets of ours: pipes, terminals, what a program was started with.

Each step tries to read or write, and waits only if that would block. A descriptor that was given stays as it is: see
`pollers.Access` for how it is read without a wait. Only the ends of a new pipe are non-blocking.
"""

from __future__ import annotations

import errno
import io
import os
import socket
import stat
import sys
import threading
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pollers
from pollers import Access, Closed, Foreign, Handle, Operation, operation

from ..sockets.socket import check_octets, place_of
from ..streams.buffer import BLOCK
from ..streams.claim import Claim
from ..streams.transport import byte_count, room_in
from ..threads.deadline import Patience, patience
from ..threads.scheduler import current_scheduler
from ..threads.thread import currentthread, over_at_once
from ..threads.unbroken import call_unbroken
from .waitable import check_system, ready

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

# What one call reads or writes of a file on a disk.
_DISK_BLOCK = 1 << 16

# What one call reads of anything else: the memory is allocated first.
_READ_MAX = 1 << 20


class FdStream(pollers.Unique):
    """A descriptor as a byte stream. pipe(), fd_stream(), stdin() and process() make it; stream() reads lines from it.

    Most have one direction. The other one raises io.UnsupportedOperation. One thread may receive while another sends; a
    second thread in the same direction gets Busy. A receive that is cancelled or times out has taken nothing.
    """

    __slots__ = (
        "__weakref__",
        "_access",
        "_changed",
        "_closed",
        "_fd",
        "_foreign",
        "_left",
        "_limits",
        "_made_at",
        "_own",
        "_owned",
        "_reading",
        "_writing",
    )

    def __init__(self, access: Access, owned: bool, made_at: str) -> None:
        self._closed = True  # until all is there: see __del__()
        self._fd = access.fd
        self._access = access
        self._owned = owned
        self._left: list[int] = []  # the descriptors that close() has yet to close
        self._made_at = made_at
        self._changed = pollers.leakproof(threading.RLock())  # held during an attempt, so that the number stays ours
        self._own: Handle | None = None  # of a file that is ours alone
        self._foreign: dict[bool, tuple[Foreign, Handle]] = {}  # else by direction: True for writing
        self._limits: dict[str, Patience | None] = {"read": None, "write": None}
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def readable(self) -> bool:
        """Whether the descriptor is open for reading."""
        return self._access.readable

    @property
    def writable(self) -> bool:
        """Whether the descriptor is open for writing."""
        return self._access.writable

    @property
    def private(self) -> bool:
        """Whether it has an open file description of its own, non-blocking. For the other rooms of socket2."""
        return self._access.ours and self._access.fd == self._fd

    def fileno(self) -> int:
        """Return the descriptor, -1 if the stream is closed."""
        return -1 if self._closed else self._fd

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        """Limit every operation to `seconds`; it raises TimeoutError after that. None: no limit.

        `direction`: "read", "write", or None for both. Raises ValueError if `seconds` is negative or `direction` is
        unknown.
        """
        if direction not in ("read", "write", None):
            raise ValueError(f"direction must be 'read', 'write' or None, not {direction!r}")
        for side in (direction,) if direction else ("read", "write"):
            self._limits[side] = patience(seconds)

    def gettimeout(self, direction: Literal["read", "write"] = "read") -> float | None:
        """Return the timeout of a direction in seconds, None if there is none."""
        limit = self._limits[direction]
        return None if limit is None else limit.seconds

    def _limited(self, direction: str, op: Operation[T]) -> Operation[T]:
        limit = self._limits[direction]
        return op if limit is None else limit.limit(op)

    # Receiving.

    def recv(self, n: int = BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes, waiting for the first; b"" at the end of the stream. read(2).

        A cancellation or timeout takes nothing. The end of a pseudoterminal (EIO) is the end of the stream. Raises
        Busy, Closed, TimeoutError, OSError; io.UnsupportedOperation if the descriptor is open for writing only,
        ValueError if `n` is negative.
        """
        n = byte_count(n)
        self._check_direction(self.readable, "reading")
        return self._limited("read", self._recv(n))

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length. Return the number of bytes, 0 at the end of the stream.

        Raises as recv() does; TypeError if the buffer is read-only, ValueError if it has no room for `n` bytes.
        """
        size = room_in(buffer, n)
        self._check_direction(self.readable, "reading")
        return self._limited("read", self._recv_into(buffer, size))

    @operation
    def _recv_into(self, buffer: WriteableBuffer, size: int) -> Generator[Any, None, int]:
        data = yield from self._recv(size)
        with memoryview(buffer) as view, view.cast("B") as octets:
            octets[: len(data)] = data
        return len(data)

    @operation
    def _recv(self, n: int) -> Generator[Any, None, bytes]:
        claim = self._reading.take()
        try:
            if (turn := over_at_once()) is not None:
                claim.thread = currentthread()
                yield from turn.wait()
            while True:
                if self._access.is_disk:
                    return (yield from call_unbroken(self._read, min(n, _DISK_BLOCK)))
                try:
                    return self._read(min(n, _READ_MAX))
                except BlockingIOError:
                    pass
                claim.thread = currentthread()
                yield from self._until_ready(writing=False)
        finally:
            claim.thread = None
            claim.free = None

    def _read(self, n: int) -> bytes:
        with self._changed:
            self._check_open()
            try:
                return self._access.read(n) if n else b""
            except OSError as error:
                if error.errno == errno.EIO and os.isatty(self._access.fd):
                    return b""
                raise

    # Sending.

    def sendall(self, data: ReadableBuffer) -> Operation[None]:
        """Send all of `data`; return when the kernel has accepted it. write(2).

        After an error, cancellation or timeout, `bytes_sent` on the exception is how many bytes it had accepted. Raises
        Busy, Closed, TimeoutError; BrokenPipeError if nobody reads any more, and never causes SIGPIPE;
        io.UnsupportedOperation if the descriptor is open for reading only.
        """
        check_octets(data)
        self._check_direction(self.writable, "writing")
        return self._limited("write", self._sendall(data))

    @operation
    def _sendall(self, data: ReadableBuffer) -> Generator[Any, None, None]:
        sent = 0
        claim = self._writing.take()
        try:
            with memoryview(data) as view, view.cast("B") as octets:
                while True:
                    if (turn := over_at_once()) is not None:
                        claim.thread = currentthread()
                        yield from turn.wait()
                    self._check_open()
                    if sent == len(octets):
                        return
                    with octets[sent:] as rest:
                        sent += yield from self._send(rest)
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise
        finally:
            claim.thread = None
            claim.free = None

    @operation
    def _send(self, data: memoryview) -> Generator[Any, None, int]:
        """Send some of `data`. Return the number of bytes, 0 after a wait."""
        if self._access.is_disk:
            return (yield from call_unbroken(self._write, data[:_DISK_BLOCK]))
        try:
            return self._write(data)
        except BlockingIOError:
            self._writing.thread = currentthread()
            yield from self._until_ready(writing=True)
            return 0

    def _write(self, data: memoryview) -> int:
        with self._changed:
            self._check_open()
            return self._access.write(data)

    # Waiting.

    @operation
    def _until_ready(self, writing: bool) -> Generator[Any, None, None]:
        access = self._access
        if access.ours:
            try:
                yield from self._own_handle().wait_writable() if writing else self._own_handle().wait_readable()
            except Closed:
                raise Closed("the stream was closed") from None
        else:
            yield from ready(*self._foreign_handle(writing), access.fd)

    def _own_handle(self) -> Handle:
        with self._changed:
            self._check_open()
            if self._own is None:
                poller = current_scheduler().poller
                self._own = poller.attach(poller.file(self._access.fd))
            return self._own

    def _foreign_handle(self, writing: bool) -> tuple[Foreign, Handle]:
        with self._changed:
            self._check_open()
            if writing not in self._foreign:
                poller = current_scheduler().poller
                foreign = poller.foreign(self._access.fd, writing)
                self._foreign[writing] = foreign, poller.attach(foreign.sock)
            return self._foreign[writing]

    def check_idle(self) -> None:
        """Raise Busy if another thread sends or receives. For the other rooms of socket2."""
        self._reading.check()
        self._writing.check()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the stream is closed")

    def _check_direction(self, is_open: bool, doing: str) -> None:
        if not is_open:
            raise io.UnsupportedOperation(f"{self!r} is not open for {doing}")

    # Closing.

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR or SHUT_RDWR. Ending the only direction closes the stream.

        Raises Closed; io.UnsupportedOperation for one of two directions, since they have one descriptor.
        """
        self._check_open()
        ends_reading, ends_writing = how != socket.SHUT_WR, how != socket.SHUT_RD
        if (self.readable and not ends_reading and self.writable) or (self.writable and not ends_writing):
            if self.readable:
                raise io.UnsupportedOperation(f"{self!r} cannot end one of its directions")
            return
        if (self.readable and ends_reading) or (self.writable and ends_writing):
            self.close()

    def close(self) -> None:
        """Close the stream. Operations that wait raise Closed; a second close does nothing. close(2).

        The descriptor is closed, too, unless it is stdin(), stdout(), stderr() or one with `owned=False`.
        """
        try:
            self._close()
        except BaseException:  # a signal handler raised
            self._close()
            raise

    def _close(self) -> None:
        """Close what is not closed yet."""
        access = self._access
        with self._changed:
            if not self._closed:
                left = [access.fd] if access.ours and self._own is None else []  # else `_own` closes it
                if self._owned and not self.private:
                    left.append(self._fd)
                self._left, self._closed = left, True
        for _, handle in self._foreign.values():
            handle.close()
        if self._own is not None:
            self._own.close()
        pollers.close_descriptors(self._left)
        access.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing() and hasattr(self, "_closed") and not self._closed:
            try:
                if self._owned:
                    warnings.warn(f"unclosed {self!r}, made at {self._made_at}", ResourceWarning, 2, source=self)
            finally:
                self.close()

    def __repr__(self) -> str:
        if self._closed:
            return "<FdStream closed>"
        mode = ("r" if self.readable else "") + ("w" if self.writable else "")
        return f"<FdStream fd {self._fd}, {mode}>"


def our_end(fd: int, made_at: str) -> FdStream:
    """Return a stream for one end of a new pipe, which it makes non-blocking. Nobody else may have the end yet."""
    os.set_blocking(fd, False)
    return FdStream(Access(fd, ours=True), True, made_at)


def pipe() -> tuple[FdStream, FdStream]:
    """Make a pipe. Return its reading end and its writing end. pipe(2).

    No child process inherits them. Raises OSError (EMFILE); io.UnsupportedOperation on Windows, which cannot wait for
    pipes.
    """
    made_at = place_of(sys._getframe(1))
    check_system()
    reading, writing = os.pipe()
    ours: list[FdStream] = []
    try:
        ours.append(our_end(reading, made_at))
        ours.append(our_end(writing, made_at))
    except BaseException:
        for stream in ours:
            stream.close()
        for fd in (reading, writing)[len(ours) :]:
            os.close(fd)
        raise
    return ours[0], ours[1]


def fd_stream(fd: int, *, owned: bool = True) -> FdStream:
    """Make a byte stream from an open descriptor: the end of a pipe, a FIFO, a terminal, a device or any socket.

    `owned`: whether close() closes the descriptor. Its O_NONBLOCK flag stays as it is, since other processes may have
    the same open file description: see docs/process.md. Raises OSError (EBADF) if it is not open;
    io.UnsupportedOperation for a file on a disk, for which there is open_file(), and on Windows.
    """
    made_at = place_of(sys._getframe(1))
    check_system()
    access = Access(fd)
    if access.is_disk:
        access.close()
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise IsADirectoryError(errno.EISDIR, f"fd {fd} is a directory, and has no bytes to read")
        raise io.UnsupportedOperation(f"fd {fd} is a file on a disk: use open_file()")
    return FdStream(access, owned, made_at)
