"""What a stream needs below it: bytes in order, in two directions, each with an end.

Declares the interface, and has what all streams over it do with their arguments and errors.
"""

from __future__ import annotations

import operator
from collections.abc import Coroutine, Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from pollers import Busy, Operation

from ..sockets.socket import Socket, direction_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

Waits: TypeAlias = Operation[T] | Coroutine[Any, Any, T] | Generator[Any, Any, T]
"""What an operation, an `async def` function or a generator function returns."""


class AnyByteStream(Protocol):
    """What stream(), TLS() and starttls() take: a ByteStream, or your own class that behaves like one.

    Operations may also be `async def` or generator functions. Then use what stream() makes of it. One thread
    receives while another sends. A receive that is cancelled or times out has taken nothing. If sendall() ends
    early, its exception has the attribute `bytes_sent`. After close(), every operation raises socket2.Closed, also
    one that was waiting. The timeout applies to each operation, which then raises TimeoutError.
    """

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    def fileno(self) -> int:
        """Return the descriptor of the socket below, -1 if there is none (any more)."""

    def recv(self, n: int, /) -> Waits[bytes]:
        """Receive 1 to `n` bytes, waiting for the first; b"" at the end of the stream."""

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None, /) -> Waits[int]:
        """Receive into `buffer`, up to `n` bytes or its length; return how many, 0 at the end of the stream."""

    def sendall(self, data: ReadableBuffer, /) -> Waits[None]:
        """Send all of `data`. When the operation has ended, `data` is not used any more."""

    def shutdown(self, how: int, /) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR or SHUT_RDWR. Does not wait."""

    def close(self) -> None:
        """End both directions, without waiting. A second close does nothing."""

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        """Limit every operation to `seconds`, None for no limit. `direction` None means both."""

    def gettimeout(self, direction: Literal["read", "write"] = "read") -> float | None:
        """Return the timeout of a direction in seconds, None if there is none."""


class ByteStream(AnyByteStream, Protocol):
    """A TCP or UNIX stream socket, TLS, a Stream, a pipe: what code takes that receives and sends bytes.

    Its operations serve `await` and `yield from`.
    """

    def recv(self, n: int = ..., /) -> Operation[bytes]:
        """Receive 1 to `n` bytes, by default 65536, waiting for the first; b"" at the end of the stream."""

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None, /) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length; return how many, 0 at the end of the stream."""

    def sendall(self, data: ReadableBuffer, /) -> Operation[None]:
        """Send all of `data`. When the operation has ended, `data` is not used any more."""

    def shutdown(self, how: int = ..., /) -> None:
        """End one direction or both: socket.SHUT_WR, which is the default, SHUT_RD or SHUT_RDWR. Does not wait."""


_FACE = ("closed", "fileno", "recv", "recv_into", "sendall", "shutdown", "close", "settimeout", "gettimeout")


def check_byte_stream(candidate: object) -> None:
    """Raise TypeError if `candidate` is no byte stream."""
    if not _has_face(type(candidate)):  # type: ignore[arg-type]
        lacking = [name for name in _FACE if not hasattr(candidate, name)]
        if lacking:
            raise TypeError(
                f"a stream needs a TCP or UNIX stream socket, or another byte stream: {candidate!r} has no"
                f" {', '.join(lacking)}"
            )


def check_idle(candidate: AnyByteStream) -> None:
    """Raise Busy if a thread is receiving from a stream or sending to it, or is using one that lies below it.

    A class of the program is not asked: only what it lies over.
    """
    below: Any = candidate
    while below is not None:
        if isinstance(below, Socket):
            for side in ("reading", "writing"):
                direction = direction_of(below, side)
                if direction is not None and direction.waiter is not None:
                    raise Busy
        elif hasattr(below, "check_idle"):
            below.check_idle()
        below = getattr(below, "sock", None)


@lru_cache(maxsize=64)
def _has_face(kind: type) -> bool:
    return all(hasattr(kind, name) for name in _FACE)


def byte_count(n: int) -> int:
    """Return a checked number of bytes. Raises TypeError if it is not a whole number, ValueError if it is negative."""
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"a number of bytes must not be negative: {n}")
    return n


def room_in(buffer: WriteableBuffer, n: int | None) -> int:
    """Return how many bytes to receive into `buffer`: `n`, or its length if `n` is None or 0.

    Raises TypeError if the buffer is read-only, ValueError if `n` is negative or longer than the buffer.
    """
    with memoryview(buffer) as view:
        if view.readonly:
            raise TypeError("the buffer must be writable")
        size = byte_count(n) if n else view.nbytes
        if size > view.nbytes:
            raise ValueError(f"the buffer has {view.nbytes} bytes, not {n}")
        return size


def note_socket(error: BaseException, sock: AnyByteStream) -> None:
    """Note the socket that the error comes from, unless it has one: a server needs to know which side caused it."""
    if isinstance(error, Exception) and not hasattr(error, "socket_fd"):
        error.socket_fd = sock.fileno()  # type: ignore[attr-defined]
