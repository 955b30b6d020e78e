"""Messages with control data: what came with a datagram, or with the bytes of a UNIX socket, and the waits for them.

Each operation waits until the socket is ready and then makes one attempt. The attempt takes a whole message or nothing.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Closed, Control, Handle, PacketInfo, Unique, operation

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer

    from .address import SocketAddress

ROOM = 256
"""The default room for control data in bytes. All that the options by name ask for takes less than 200."""


class Message(Unique):
    """What recvmsg() has received.

    Descriptors that came with it belong to this object until take_fds(). `with` or close() closes the others. A message
    that is garbage-collected while it has descriptors closes them with a ResourceWarning.
    """

    __slots__ = ("__weakref__", "_closer", "_fds", "address", "ancillary", "data", "flags")

    def __init__(
        self,
        data: bytes,
        ancillary: list[Control],
        fds: list[int],
        flags: int,
        address: SocketAddress | None,
        closer: Callable[[int], object] | None = None,
    ) -> None:
        self._closer = closer  # of the descriptors, if they are not the kernel's
        self._fds = fds
        self.data = data
        """The bytes: one datagram, or a part of a stream."""
        self.address = address
        """The sender, in the standard library's form; None for a stream."""
        self.ancillary = ancillary
        """The control data without descriptors: (level, type, data), as in the standard library."""
        self.flags = flags
        """The flags of recvmsg(2)."""

    @property
    def truncated(self) -> bool:
        """Whether the datagram was longer, and its end is lost."""
        return bool(self.flags & socket.MSG_TRUNC)

    @property
    def control_truncated(self) -> bool:
        """Whether more control data or descriptors came. That part is lost, and its descriptors are closed."""
        return bool(self.flags & socket.MSG_CTRUNC)

    @property
    def packet_info(self) -> PacketInfo | None:
        """Where the datagram arrived, if the option "packet_info" is set. sendmsg() takes it for the answer."""
        return pollers.packet_info_of(self.ancillary)

    @property
    def ttl(self) -> int | None:
        """How many more routers the packet could have passed, if the option "recv_ttl" is set. TTL, hop limit."""
        return pollers.ttl_of(self.ancillary)

    @property
    def tos(self) -> int | None:
        """The type of service (traffic class), if the option "recv_tos" is set. The last two bits are ECN: RFC 3168."""
        return pollers.tos_of(self.ancillary)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that came and that nobody has taken. They are close-on-exec."""
        return tuple(self._fds)

    def take_fds(self) -> list[int]:
        """Return the descriptors. They are yours from now on: close them."""
        fds, self._fds = self._fds, []
        return fds

    def close(self) -> None:
        """Close the descriptors that nobody has taken. A second call does nothing."""
        pollers.close_descriptors(self._fds, closer=self._closer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fds", None):
            try:
                warnings.warn(f"unclosed descriptors of {self!r}", ResourceWarning, stacklevel=2, source=self)
            finally:
                self.close()

    def __repr__(self) -> str:
        told = [f"{len(self.data)} bytes"]
        told += [f"descriptors {', '.join(map(str, self._fds))}"] if self._fds else []
        told += [f"from {self.address!r}"] if self.address else []
        told += ["truncated"] if self.truncated else []
        told += ["control data truncated"] if self.control_truncated else []
        return f"<Message, {', '.join(told)}>"


def check_limits(n: int, max_fds: int, room: int) -> None:
    """Raise ValueError if a size is too low."""
    if n < 1 or max_fds < 0 or room < 0:
        raise ValueError(f"n must be at least 1, max_fds and control_size at least 0: {n}, {max_fds}, {room}")


def pieces_of(data: ReadableBuffer | Iterable[ReadableBuffer]) -> list[ReadableBuffer]:
    """Return the buffers of a message. Raises TypeError if one of them is none."""
    try:
        memoryview(data).release()  # type: ignore[arg-type]
    except TypeError:
        if isinstance(data, str):
            raise
        pieces: list[Any] = list(data)  # type: ignore[arg-type]
        for piece in pieces:
            memoryview(piece).release()
        return pieces
    return [data]  # type: ignore[list-item]


@operation
def receive_message(handle: Handle, n: int, room: int, max_fds: int, owner: object) -> Generator[Any, None, Message]:
    """Wait for a message, and take it."""
    pollers.check_messages(handle.sock)
    closer = pollers.closer_of(handle.sock)
    while True:
        yield from handle.wait_readable(owner)
        try:
            received = pollers.receive_message(handle.sock, n, room, max_fds)
        except BlockingIOError:
            continue  # another thread was faster
        except OSError as error:
            if handle.fileno() < 0:
                raise Closed() from None  # by another OS thread
            raise handle.told(error) or error from None
        try:
            message = Message(*received, closer)
            if not message.data:
                pollers.end_of_stream(handle)
            return message
        except BaseException:  # a signal handler raised
            pollers.close_descriptors(received[2], closer=closer)
            raise


@operation
def send_message(
    handle: Handle, pieces: Sequence[ReadableBuffer], control: Sequence[Control], address: Any, owner: object
) -> Generator[Any, None, int]:
    """Wait for room, and send a message, or the beginning of it to a stream."""
    pollers.check_messages(handle.sock)
    while True:
        yield from handle.wait_writable(owner)
        try:
            return pollers.send_message(handle.sock, pieces, control, address)
        except BlockingIOError:
            pass  # another thread was faster, or there is room, but not enough
        except OSError as error:
            if handle.fileno() < 0:
                raise Closed() from None
            raise handle.told(error) or error from None
