"""A buffered reader and writer over a byte stream: exact counts, separators, lines, everything to the end.

Bytes that came but were not asked for stay in the buffer. If a cancellation, a timeout, a limit or the end of the
stream ends a receive early, its bytes stay there, too. So the receive can be tried again, or another one in its place.
This module knows nothing of the kernel or of addresses.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pollers
from pollers import Closed, Operation, operation

from ..sockets.socket import check_octets
from ..threads.coroutines import awaiting
from ..threads.deadline import Patience
from ..threads.scope import timeout
from ..threads.thread import currentthread, over_at_once
from ..threads.timers import duration
from ..threads.wait import Pass
from .buffer import BLOCK, Buffer, joined
from .claim import Claim
from .pieces import Pieces
from .transport import AnyByteStream, byte_count, check_byte_stream, note_socket, room_in

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
Side: TypeAlias = Literal["read", "write"]

LINE_MAX = 1 << 16
"""The default limit for the length of a line or piece, in bytes."""

# A receive of many bytes asks for larger blocks, but not for as much as a peer only claims it will send.
_BLOCK_MAX = 1 << 20

# Receives that the buffer can answer are counted in groups of this size, which costs less than one by one.
_COUNTED = 8


class Stream(pollers.Unique):
    """A byte stream with a receive buffer. Made by stream(). It is a ByteStream itself, so streams can be stacked.

    One thread may receive while another sends. A second thread in the same direction gets Busy with the name of the
    first, even between two steps of the first one's operation. At the end of the stream recv() returns b"" and
    recvline() None; receives that ask for something definite raise IncompleteRead. The socket's timeout limits the
    whole operation. `received`: what another protocol has received already, and belongs to this one.
    """

    __slots__ = ("__weakref__", "_buffer", "_reading", "_writing", "sock")

    def __init__(self, sock: AnyByteStream, *, received: bytes = b"") -> None:
        check_byte_stream(sock)
        # Typed as Any, not as AnyByteStream: whoever made the stream from a TCP socket may want its options.
        self.sock: Any = sock
        """The byte stream below, for a socket's options and addresses. Do not receive from it."""
        self._buffer = Buffer()  # belongs to the thread that has claimed reading
        if received:
            self._buffer.add(received)
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")

    @property
    def buffered(self) -> int:
        """How many bytes are in the buffer. recv() for at most that many does not wait."""
        return len(self._buffer)

    @property
    def closed(self) -> bool:
        """Whether the stream, or the byte stream below, was closed."""
        return bool(self.sock.closed)

    def fileno(self) -> int:
        """Return the descriptor of the socket below, -1 if there is none (any more)."""
        return int(self.sock.fileno())

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Limit every operation as a whole to `seconds`; it raises TimeoutError after that. None: no limit.

        `direction`: "read", "write", or None for both. This sets the timeout of the byte stream below.
        """
        self.sock.settimeout(seconds, direction)

    def gettimeout(self, direction: Side = "read") -> float | None:
        """Return the timeout of a direction in seconds, None if there is none."""
        seconds: float | None = self.sock.gettimeout(direction)
        return seconds

    def _limited(self, direction: Side, op: Operation[T]) -> Operation[T]:
        """Apply one timeout to several receives or sends together."""
        seconds = self.sock.gettimeout(direction)
        return op if seconds is None else Patience(seconds).limit(op)

    # Receiving.

    def recv(self, n: int = BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes, as many as there are; wait only if there are none. b"" at the end of the stream.

        A cancellation or timeout takes nothing. Raises Busy, Closed, ConnectionResetError, TimeoutError; ValueError if
        `n` is negative.
        """
        n = byte_count(n)
        return self._receive(Buffer.some, max(n, BLOCK), n)

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length. Return the number of bytes, 0 at the end of the stream.

        A cancellation or timeout takes nothing and leaves the buffer unchanged. Raises as recv() does; TypeError if the
        buffer is read-only, ValueError if it is smaller than `n`.
        """
        return self._receive_into(buffer, room_in(buffer, n))

    @operation
    def _receive_into(self, buffer: WriteableBuffer, size: int) -> Generator[Any, None, int]:
        with memoryview(buffer) as view, view.cast("B") as octets:
            data: bytes = yield from self._receive(Buffer.some, max(size, BLOCK), size)
            octets[: len(data)] = data
        return len(data)

    def recvn(self, n: int) -> Operation[bytes]:
        """Receive exactly `n` bytes.

        After a cancellation or timeout, the bytes that came stay for the next receive. Raises IncompleteRead if the
        stream ends first; Busy, Closed, ConnectionResetError, TimeoutError; ValueError if `n` is negative.
        """
        n = byte_count(n)
        return self._receive(Buffer.exactly, min(max(n, BLOCK), _BLOCK_MAX), n)

    def recvuntil(
        self, separator: ReadableBuffer, max_bytes: int | None = LINE_MAX, keep_end: bool = False
    ) -> Operation[bytes]:
        """Receive up to the next `separator`; return what is before it, or with `keep_end` the separator, too.

        `max_bytes`: how many bytes may come before the separator, None for no limit. After a cancellation, a timeout or
        a LimitExceeded, the bytes that came stay for the next receive. Raises LimitExceeded; IncompleteRead if the
        stream ends first; Busy, Closed, ConnectionResetError, TimeoutError; ValueError if the separator is empty.
        """
        separator = bytes(memoryview(separator))
        if not separator:
            raise ValueError("a separator must have at least one byte")
        return self._receive(Buffer.until, BLOCK, separator, _limit(max_bytes), keep_end)

    def recvline(self, max_bytes: int | None = LINE_MAX, keep_end: bool = False) -> Operation[bytes | None]:
        """Receive a line and return it without its end, LF or CR LF; None at the end of the stream.

        `max_bytes`: how long the line may be without its end, None for no limit. `keep_end`: return the end, too.
        Raises as recvuntil() does: if the last line has no end, that is an IncompleteRead.

        In a generator: `while (line := (yield from stream.recvline())) is not None:`
        """
        return self._receive(Buffer.line, BLOCK, _limit(max_bytes), keep_end)

    def recvall(self, max_bytes: int | None = None) -> Operation[bytes]:
        """Receive everything to the end of the stream.

        `max_bytes`: how much that may be. None means no limit, so do not use it with peers that you do not trust. After
        a cancellation, a timeout or a LimitExceeded, the bytes that came stay for the next receive. Raises
        LimitExceeded, Busy, Closed, ConnectionResetError, TimeoutError.
        """
        return self._receive(Buffer.everything, BLOCK, _limit(max_bytes))

    def peek(self, n: int = 1) -> Operation[bytes]:
        """Return the next `n` bytes without taking them; fewer only at the end of the stream.

        Waits until they are there. Raises Busy, Closed, ConnectionResetError, TimeoutError; ValueError if `n` is
        negative.
        """
        return self._receive(Buffer.ahead, BLOCK, byte_count(n))

    @operation
    def _receive(self, find: Callable[..., bytes | None], size: int, *args: Any) -> Generator[Any, None, Any]:
        """Return what `find` finds in the buffer. Until then, receive up to `size` bytes at a time."""
        claim = self._reading.take()
        try:
            if claim.counted:
                claim.counted -= 1
            elif (turn := over_at_once(_COUNTED)) is None:
                claim.counted = _COUNTED - 1
            else:
                yield from self._let_others_run(turn)
            found = find(self._buffer, False, *args)
            if found is None:
                claim.counted += 1  # this one waits, or the poller counts it
                found = yield from self._limited("read", self._fill(find, size, args))
            return found
        except Exception as error:
            note_socket(error, self.sock)
            raise
        finally:
            claim.free = None

    def _let_others_run(self, turn: Pass) -> Generator[Any, None, None]:
        self._reading.thread = currentthread()
        try:
            yield from turn.wait()
        finally:
            self._reading.thread = None
            if self.sock.closed:
                self._buffer.clear()

    @operation
    def _fill(self, find: Callable[..., bytes | None], size: int, args: tuple[Any, ...]) -> Generator[Any, None, Any]:
        self._reading.thread = currentthread()
        try:
            while True:  # see threads/lock.py
                data = yield from awaiting(self.sock.recv(size))
                if not data:
                    break
                self._buffer.add(data)
                found = find(self._buffer, False, *args)
                if found is None:
                    continue
                return found
        except Closed:
            self._buffer.clear()
            raise
        finally:
            self._reading.thread = None
        return find(self._buffer, True, *args)

    # Iteration.

    def lines(self, max_bytes: int | None = LINE_MAX, keep_end: bool = False) -> Pieces[bytes | None]:
        """Iterate over the lines with `async for`: recvline() until it returns None."""
        return Pieces(lambda: self.recvline(max_bytes, keep_end), None)

    def chunks(self, n: int = BLOCK) -> Pieces[bytes]:
        """Iterate over the data as it comes, with `async for`: recv(n) until it returns b"". ValueError if `n` < 1."""
        if byte_count(n) == 0:
            raise ValueError("a piece has at least 1 byte, not 0")
        return Pieces(lambda: self.recv(n), b"")

    def __aiter__(self) -> Pieces[bytes | None]:
        return self.lines()

    # Sending.

    def sendall(self, data: ReadableBuffer) -> Operation[None]:
        """Send all of `data`; return when the kernel has accepted it.

        After an error, cancellation or timeout, `bytes_sent` on the exception is the number of bytes that the kernel
        has accepted: `data[error.bytes_sent:]` is still unsent. Raises Busy, Closed, BrokenPipeError,
        ConnectionResetError, TimeoutError.
        """
        if type(data) is not bytes:
            check_octets(data)
        return self._send(data)

    def sendv(self, pieces: Iterable[ReadableBuffer]) -> Operation[None]:
        """Send several pieces in order, as if they were one. writev(2).

        Small pieces are copied together into blocks of at least 64 KB, so that no segment carries only one small piece.
        A piece of 64 KB or more is sent as it is. The iterable is read while sending. On an error, `bytes_sent` counts
        over all pieces. Raises as sendall() does.
        """
        if isinstance(pieces, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"several pieces of bytes are needed, not one {type(pieces).__name__}")
        for piece in pieces if isinstance(pieces, (list, tuple)) else ():
            check_octets(piece)
        return self._send(None, iter(pieces))

    @operation
    def _send_blocks(self, blocks: Generator[bytearray | memoryview, None, None]) -> Generator[Any, None, None]:
        sent = 0
        try:
            for block in blocks:
                yield from awaiting(self.sock.sendall(block))
                sent += len(block)
            if not sent and (turn := over_at_once()) is not None:
                yield from turn.wait()
        except BaseException as error:
            error.bytes_sent = sent + getattr(error, "bytes_sent", 0)  # type: ignore[attr-defined]
            raise
        finally:
            blocks.close()  # the error's traceback keeps this frame, but the owner of a piece may now resize it

    @operation
    def _send(self, data: ReadableBuffer | None, pieces: Iterable[ReadableBuffer] = ()) -> Generator[Any, None, None]:
        claim = self._writing.take()
        try:
            claim.thread = currentthread()
            if data is not None:  # not earlier: a refused call must not start a send below
                yield from awaiting(self.sock.sendall(data))
            else:
                yield from self._limited("write", self._send_blocks(joined(pieces)))
        except Exception as error:
            note_socket(error, self.sock)
            raise
        finally:
            claim.thread = None
            claim.free = None

    # Closing.

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """End one direction. The default ends sending: the peer sees the end of the stream, and we can still receive.

        `how`: as in socket.shutdown(). Raises Busy if another thread is sending, Closed, OSError (ENOTCONN).
        """
        if how == socket.SHUT_RD:
            self.sock.shutdown(how)
            return
        claim = self._writing.take()
        try:
            self.sock.shutdown(how)
        finally:
            claim.free = None

    def finish(self, grace_s: float = 2.0) -> Operation[None]:
        """Close so that the data we sent arrives: end our half, then drop input until the peer ends its half.

        If any received data was left unread, close() alone makes the kernel reset the connection. A reset destroys data
        that is still on its way to the peer (RFC 1122, 4.2.2.13). Web servers call this a lingering close. After
        `grace_s` seconds, or when cancelled, the socket is closed anyway. Raises Busy if another thread sends or
        receives, and then does not close.
        """
        return self.alone(partial(self._finish_below, duration(grace_s)))

    @operation
    def alone(self, act: Callable[[], Generator[Any, None, T]]) -> Generator[Any, None, T]:
        """Do something with the stream below while nobody else sends or receives. Raises Busy if another thread does.

        For the other rooms of socket2.
        """
        writing = self._writing.take()
        try:
            reading = self._reading.take()
            try:
                return (yield from act())
            finally:
                reading.free = None
        finally:
            writing.free = None

    def check_idle(self) -> None:
        """Raise Busy if another thread sends or receives. For the other rooms of socket2."""
        self._writing.check()
        self._reading.check()

    def _finish_below(self, grace_s: float) -> Generator[Any, None, None]:
        try:
            if hasattr(self.sock, "finish"):  # it has an end of its own
                yield from awaiting(self.sock.finish(grace_s))
                return
            with suppress(OSError), timeout(grace_s):  # TimeoutError is an OSError
                self.sock.shutdown(socket.SHUT_WR)
                while True:  # see threads/lock.py
                    if (yield from awaiting(self.sock.recv(BLOCK))):
                        continue
                    break
        finally:
            self.sock.close()
            self._buffer.clear()

    def close(self) -> None:
        """Close the socket now and drop the buffer. Operations that wait raise Closed; a second close does nothing.

        The kernel still sends the data that it has accepted, unless received data was left unread: see finish().
        """
        self.sock.close()
        self._reading.if_free(self._buffer.clear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream, {len(self._buffer)} bytes buffered, of {self.sock!r}>"


def _limit(n: int | None) -> int:
    """Return a checked number of bytes; for None, more than there can be."""
    return sys.maxsize if n is None else byte_count(n)


def stream(sock: AnyByteStream) -> Stream:
    """Make a stream from a connected TCP or UNIX stream socket, or from another byte stream: `lines = stream(sock)`.

    The stream then owns the socket: closing one closes both. Raises TypeError if `sock` is no byte stream.
    """
    return Stream(sock)
