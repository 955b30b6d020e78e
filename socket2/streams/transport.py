"""What a stream is made of: bytes in order, in two directions, each of which ends. Says only what that does."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from pollers import Operation

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

Waits: TypeAlias = Operation[T] | Coroutine[Any, Any, T] | Generator[Any, Any, T]
"""What an operation, an `async def` function and a generator function return."""


class ByteStream(Protocol):
    """What stream() takes: a TCP or UNIX stream socket, another Stream, or a class of yours that does as they do.

    One thread receives while another sends. A receive that is cancelled or out of time has taken nothing; whatever ends
    a sendall() early has the attribute `bytes_sent`. After close() each operation raises socket2.Closed, and so does
    one that was waiting. A timeout is for each operation, and ends it with TimeoutError.
    """

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    def fileno(self) -> int:
        """The descriptor of the socket beneath, -1 when there is none, or none any more."""

    def recv(self, n: int, /) -> Waits[bytes]:
        """Receive 1 to `n` bytes, waiting for the first; b"" at the end of the stream."""

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None, /) -> Waits[int]:
        """As recv(), into `buffer`, up to `n` bytes or all it holds; return how many, 0 at the end of the stream."""

    def sendall(self, data: ReadableBuffer, /) -> Waits[None]:
        """Send all of `data`. It is not touched any more when that has ended."""

    def shutdown(self, how: int, /) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR or SHUT_RDWR. Does not wait."""

    def close(self) -> None:
        """End both, without waiting. The second time it does nothing."""

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        """Let every operation take `seconds` at the most, None: as long as it takes. `direction` None: both."""

    def gettimeout(self, direction: Literal["read", "write"] = "read") -> float | None:
        """Return the timeout of a direction in seconds, None when there is none."""


_FACE = ("closed", "fileno", "recv", "recv_into", "sendall", "shutdown", "close", "settimeout", "gettimeout")


def check_byte_stream(candidate: object) -> None:
    """TypeError for what is none."""
    if not _has_face(type(candidate)):  # type: ignore[arg-type]
        lacking = [name for name in _FACE if not hasattr(candidate, name)]
        if lacking:
            raise TypeError(
                f"a stream is made of a TCP or UNIX stream socket, or of another byte stream: {candidate!r} has no"
                f" {', '.join(lacking)}"
            )


@lru_cache(maxsize=64)
def _has_face(kind: type) -> bool:
    return all(hasattr(kind, name) for name in _FACE)
