"""A buffered reader and writer over a byte stream: exact counts, separators, lines, everything to the end.

What has come and was not asked for yet is in the buffer, and whatever ends a receive early leaves it there: a cancel, a
timeout, a limit, the end of the stream. So a receive can always be tried again, or another one in its place. Knows
nothing of the kernel and of addresses.
"""

from __future__ import annotations

import operator
import socket
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

import pollers
from pollers import Busy, Closed, Operation, operation

from ..sockets.socket import check_octets
from ..threads.coroutines import awaiting
from ..threads.sleeping import Patience, timeout
from ..threads.thread import currentthread, over_at_once
from ..threads.timers import duration
from ..threads.wait import Pass
from .buffer import BLOCK, Buffer, joined
from .claim import Claim
from .transport import ByteStream, check_byte_stream

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
Side: TypeAlias = Literal["read", "write"]
PieceT = TypeVar("PieceT", bound=bytes | None)

LINE_MAX = 1 << 16
"""How many bytes of a line or piece are received, when nothing else is said."""

# A receive of many bytes asks for more of them at a time, but not for what a peer only says it will send.
_BLOCK_MAX = 1 << 20


# Receives from the buffer are counted so many at a time, which takes so much less.
_COUNTED = 8


class Stream(pollers.Unique):
    """A byte stream and a buffer for what comes. Made by stream(); is a byte stream itself, to make another of.

    One thread may receive while another sends; a second one in the same direction gets Busy, which names the first,
    also between two steps of its operation. The end of the stream is b"" to recv() and None to recvline(), which ask
    for what there is; to whoever asks for something definite it is an IncompleteRead. A timeout of the socket is for
    the whole operation.
    """

    __slots__ = ("__weakref__", "_buffer", "_reading", "_writing", "sock")

    def __init__(self, sock: ByteStream) -> None:
        check_byte_stream(sock)
        # Not declared as the least that it may be: who has made it of a TCP socket asks that for its options.
        self.sock: Any = sock
        """What it was made of: for the options and addresses that a socket has. Do not receive from it."""
        self._buffer = Buffer()  # belongs to whoever has claimed reading
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")

    @property
    def buffered(self) -> int:
        """How many bytes are here already: recv() of no more than these does not wait."""
        return len(self._buffer)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or what it is made of."""
        return bool(self.sock.closed)

    def fileno(self) -> int:
        """The descriptor of the socket beneath, -1 when there is none, or none any more."""
        fd: int = self.sock.fileno()
        return fd

    def settimeout(self, seconds: float | None, direction: Side | None = None) -> None:
        """Let every operation take `seconds` at the most, as a whole, then raise TimeoutError; None: as it takes.

        `direction`: "read", "write", None both. It is the timeout of what the stream is made of.
        """
        self.sock.settimeout(seconds, direction)

    def gettimeout(self, direction: Side = "read") -> float | None:
        """Return the timeout of a direction in seconds, None when there is none."""
        seconds: float | None = self.sock.gettimeout(direction)
        return seconds

    def _limited(self, direction: Side, op: Operation[T]) -> Operation[T]:
        """What takes several receives or sends has the time of one."""
        seconds = self.sock.gettimeout(direction)
        return op if seconds is None else Patience(seconds).limit(op)

    # Receiving.

    def recv(self, n: int = BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes, what is there; wait only if nothing is. b"" at the end of the stream.

        Cancelled or out of time: nothing was taken. Raises Busy, Closed, ConnectionResetError, TimeoutError.
        """
        n = _count(operator.index(n))
        return self._receive(Buffer.some, max(n, BLOCK), n)

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or all it holds; return how many, 0 at the end of the stream.

        Cancelled or out of time: nothing was taken, the buffer is as it was. Raises as recv() does; TypeError for a
        buffer that cannot be written to, ValueError for one that is smaller than `n`.
        """
        with memoryview(buffer) as view:
            if view.readonly:
                raise TypeError("a writable buffer is needed")
            size = view.nbytes if not n else _count(n)
            if size > view.nbytes:
                raise ValueError(f"the buffer has {view.nbytes} bytes, not {n}")
        return self._receive_into(buffer, size)

    @operation
    def _receive_into(self, buffer: WriteableBuffer, size: int) -> Generator[Any, None, int]:
        with memoryview(buffer) as view, view.cast("B") as octets:
            data: bytes = yield from self._receive(Buffer.some, max(size, BLOCK), size)
            octets[: len(data)] = data
        return len(data)

    def recvn(self, n: int) -> Operation[bytes]:
        """Receive exactly `n` bytes.

        Cancelled or out of time: what has come stays for the next receive. Raises IncompleteRead when the stream ends
        before; Busy, Closed, ConnectionResetError, TimeoutError.
        """
        n = _count(operator.index(n))
        return self._receive(Buffer.exactly, min(max(n, BLOCK), _BLOCK_MAX), n)

    def recvuntil(
        self, separator: ReadableBuffer, max_bytes: int | None = LINE_MAX, keep_end: bool = False
    ) -> Operation[bytes]:
        """Receive up to the next `separator`; return what is before it, with `keep_end` the separator, too.

        `max_bytes`: how many bytes may come before the separator, None: any number. Cancelled, out of time or too
        long: what has come stays for the next receive. Raises LimitExceeded; IncompleteRead when the stream ends
        before; Busy, Closed, ConnectionResetError, TimeoutError; ValueError for an empty separator.
        """
        separator = bytes(memoryview(separator))
        if not separator:
            raise ValueError("a separator has at least one byte")
        return self._receive(Buffer.until, BLOCK, separator, _count(max_bytes), keep_end)

    def recvline(self, max_bytes: int | None = LINE_MAX, keep_end: bool = False) -> Operation[bytes | None]:
        """Receive a line and return it without its end, LF or CR LF; None at the end of the stream.

        `max_bytes`: how long a line may be without its end, None: as long as it is. `keep_end`: return the end, too.
        Raises as recvuntil() does: a last line without an end is no line but an IncompleteRead.

        In a generator: `while (line := (yield from stream.recvline())) is not None:`
        """
        return self._receive(Buffer.line, BLOCK, _count(max_bytes), keep_end)

    def recvall(self, max_bytes: int | None = None) -> Operation[bytes]:
        """Receive everything to the end of the stream.

        `max_bytes`: how much that may be, None: what memory holds, which is not for peers that you do not trust.
        Cancelled, out of time or too much: what has come stays for the next receive. Raises LimitExceeded, Busy,
        Closed, ConnectionResetError, TimeoutError.
        """
        return self._receive(Buffer.everything, BLOCK, _count(max_bytes))

    def peek(self, n: int = 1) -> Operation[bytes]:
        """Return the next `n` bytes, which the next receive returns again; fewer only where the stream ends.

        Waits until they are there. Raises Busy, Closed, ConnectionResetError, TimeoutError.
        """
        return self._receive(Buffer.ahead, BLOCK, _count(operator.index(n)))

    @operation
    def _receive(self, find: Callable[..., bytes | None], size: int, *args: Any) -> Generator[Any, None, Any]:
        """Return what `find` finds in the buffer, receiving up to `size` bytes at a time until it does."""
        claim = self._reading
        if not claim.lock.acquire(False):
            raise claim.refusal()
        try:
            if claim.counted:
                claim.counted -= 1
            elif (turn := over_at_once(_COUNTED)) is None:
                claim.counted = _COUNTED - 1
            else:
                yield from self._let_others_run(turn)
            found = find(self._buffer, False, *args)
            if found is None:
                claim.counted += 1  # not this one, which waits or is counted by the poller
                found = yield from self._limited("read", self._fill(find, size, args))
            return found
        except Exception as error:
            self._mark(error)
            raise
        finally:
            claim.lock.release()

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
            while data := (yield from awaiting(self.sock.recv(size))):
                self._buffer.add(data)
                found = find(self._buffer, False, *args)
                if found is not None:
                    return found
        except Closed:
            self._buffer.clear()
            raise
        finally:
            self._reading.thread = None
        return find(self._buffer, True, *args)

    # Iteration.

    def lines(self, max_bytes: int | None = LINE_MAX, keep_end: bool = False) -> Pieces[bytes | None]:
        """Iterate over the lines, for `async for`: recvline() until it returns None."""
        return Pieces(lambda: self.recvline(max_bytes, keep_end), None)

    def chunks(self, n: int = BLOCK) -> Pieces[bytes]:
        """Iterate over what comes as it comes, for `async for`: recv(n) until it returns b""."""
        return Pieces(lambda: self.recv(n), b"")

    def __aiter__(self) -> Pieces[bytes | None]:
        return self.lines()

    # Sending.

    def sendall(self, data: ReadableBuffer) -> Operation[None]:
        """Send all of `data`; return when the kernel has it.

        Whatever ends it early (cancel and timeout, too) carries `bytes_sent`, the number of bytes that the kernel had
        taken by then: `data[error.bytes_sent:]` is what is left. Raises Busy, Closed, BrokenPipeError,
        ConnectionResetError, TimeoutError.
        """
        if type(data) is not bytes:
            check_octets(data)
        return self._send(data)

    def sendv(self, pieces: Iterable[ReadableBuffer]) -> Operation[None]:
        """Send all of many pieces, in order, as if they were one. writev(2).

        Small ones are joined (copied once) to blocks of 64 KB at least, so that no segment leaves with one small piece
        in it; one of 64 KB or more is sent as it is. The pieces are asked for as they are sent. `bytes_sent` of an
        error counts over all of them. Raises as sendall() does.
        """
        if isinstance(pieces, str):
            raise TypeError("pieces of bytes are needed, not text")
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
            blocks.close()  # the error has this frame, and a piece may be what its owner now wants to shorten

    @operation
    def _send(self, data: ReadableBuffer | None, pieces: Iterable[ReadableBuffer] = ()) -> Generator[Any, None, None]:
        claim = self._writing
        if not claim.lock.acquire(False):
            raise claim.refusal()
        try:
            claim.thread = currentthread()
            if data is not None:  # not before: who is refused, or never begins, leaves nothing that was begun beneath
                yield from awaiting(self.sock.sendall(data))
            else:
                yield from self._limited("write", self._send_blocks(joined(pieces)))
        except Exception as error:
            self._mark(error)
            raise
        finally:
            claim.thread = None
            claim.lock.release()

    def _mark(self, error: Exception) -> None:
        """Note which socket it comes from: whose fault it is, a server has to know."""
        error.socket_fd = self.sock.fileno()  # type: ignore[attr-defined]

    # The end.

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """End the stream in one direction, by default the one we send in: the peer gets the end, we can receive on.

        `how` as in socket.shutdown(). Raises Busy while a thread is sending, Closed, OSError (ENOTCONN).
        """
        if how == socket.SHUT_RD:
            self.sock.shutdown(how)
            return
        with self._writing:
            self.sock.shutdown(how)

    def finish(self, grace_s: float = 2.0) -> Operation[None]:
        """Close so that what was sent arrives: end our half, drop what the peer still sends until it ends its own.

        close() alone makes the kernel reset the connection if anything that came was not received, and a reset
        destroys what is on its way to the peer (RFC 1122, 4.2.2.13; a web server's "lingering close"). After `grace_s`
        seconds, or when cancelled, the socket is closed all the same. Raises Busy while another thread sends or
        receives, and does not close then.
        """
        return self._finish(duration(grace_s))

    @operation
    def _finish(self, grace_s: float) -> Generator[Any, None, None]:
        with self._writing, self._reading:
            try:
                with suppress(OSError), timeout(grace_s):  # a TimeoutError is one
                    self.sock.shutdown(socket.SHUT_WR)
                    while (yield from awaiting(self.sock.recv(BLOCK))):
                        pass
            finally:
                self.sock.close()
                self._buffer.clear()

    def close(self) -> None:
        """Close the socket now and drop the buffer. Whoever waits gets Closed; a second close does nothing.

        What the kernel has taken still leaves, unless there is something that was not received: see finish().
        """
        self.sock.close()
        with suppress(Busy), self._reading:
            self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream, {len(self._buffer)} bytes buffered, of {self.sock!r}>"


class Pieces(Generic[PieceT]):
    """What a stream gives, one by one, for `async for`."""

    __slots__ = ("_end", "_receive")

    def __init__(self, receive: Callable[[], Operation[PieceT]], end: PieceT) -> None:
        self._receive = receive
        self._end = end

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, bytes]:
        piece = yield from self._receive()
        if piece is None or piece == self._end:
            raise StopAsyncIteration
        return piece


def _count(n: int | None) -> int:
    """Check a number of bytes; None is more than there can be."""
    if n is None:
        return sys.maxsize
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"a number of bytes must not be negative, not {n}")
    return n


def stream(sock: ByteStream) -> Stream:
    """Make a stream of a connected TCP or UNIX stream socket, or of another byte stream: `lines = stream(sock)`.

    The socket is the stream's then: closing one closes both. TypeError for what is no ByteStream.
    """
    return Stream(sock)
