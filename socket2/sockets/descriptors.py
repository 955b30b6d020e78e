"""Sends descriptors to another process over a UNIX socket, and receives them: unix(7), SCM_RIGHTS.

Each operation waits until the socket is ready and then makes one attempt. The attempt takes a whole message or nothing.
"""

from __future__ import annotations

import errno
import operator
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pollers import Operation, control_of, operation

from .ancillary import ROOM, receive_message, send_message
from .socket import Socket
from .tcp import TCP
from .udp import UDP

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def send_fds(sock: TCP | UDP, data: ReadableBuffer, fds: Iterable[int]) -> Operation[None]:
    """Send all of `data` over a UNIX socket. Duplicates of the open descriptors `fds` travel with its first byte.

    The descriptors stay open here. After an error, cancellation or timeout, `bytes_sent` on the exception tells how
    much of the data was sent; if it is 0, no descriptor was sent either. Raises ValueError if `data` is empty or the
    socket is not a UNIX socket; Busy, Closed, TimeoutError; OSError (EBADF: not open; EINVAL: too many, Linux takes
    253; ETOOMANYREFS).
    """
    _check(sock)
    with memoryview(data) as view:
        if not view.nbytes:
            raise ValueError("descriptors travel with data: send at least one byte")
    return sock.limit_write(_send_fds(sock, data, [operator.index(fd) for fd in fds]))


@operation
def _send_fds(sock: TCP | UDP, data: ReadableBuffer, fds: Sequence[int]) -> Generator[Any, None, None]:
    handle = sock._handle or sock._attach()
    sent = 0
    try:
        with memoryview(data) as view, view.cast("B") as octets:
            sent = yield from send_message(handle, [octets], control_of(handle.sock.family, fds=fds), None, sock)
            if sent < len(octets):
                with octets[sent:] as rest:
                    yield from handle.sendall(rest, sock)
    except BaseException as error:
        error.bytes_sent = sent + getattr(error, "bytes_sent", 0)  # type: ignore[attr-defined]
        raise


def recv_fds(sock: TCP | UDP, n: int, max_fds: int) -> Operation[tuple[bytes, list[int]]]:
    """Receive up to `n` bytes and up to `max_fds` descriptors from a UNIX socket; (b"", []) at the end of the stream.

    You own the descriptors and must close them. They are close-on-exec. If the socket is under a Stream, receive from
    the socket and not from the Stream: any other receive loses the descriptors that come with its data. A cancellation
    or timeout takes nothing. Raises OSError (EMSGSIZE) if more than `max_fds` descriptors came: all of them are closed
    then, and the data is lost. Raises ValueError if the socket is not a UNIX socket or a limit is too low; Busy,
    Closed, TimeoutError.
    """
    _check(sock)
    if n < 1 or max_fds < 0:
        raise ValueError(f"n must be at least 1 and max_fds at least 0, not {n} and {max_fds}")
    return sock.limit_read(_recv_fds(sock, n, max_fds))


@operation
def _recv_fds(sock: TCP | UDP, n: int, max_fds: int) -> Generator[Any, None, tuple[bytes, list[int]]]:
    handle = sock._handle or sock._attach()
    message = yield from receive_message(handle, n, ROOM, max_fds, sock)
    if message.control_truncated:
        message.close()
        raise OSError(errno.EMSGSIZE, f"more than {max_fds} descriptors came with {len(message.data)} bytes")
    return message.data, message.take_fds()


def _check(sock: TCP | UDP) -> None:
    if not isinstance(sock, Socket):
        raise TypeError(f"descriptors travel over a socket of socket2, not over {sock!r}")
    if sock.family != "unix":
        raise ValueError(f"descriptors travel only over UNIX sockets, not over {sock!r}")
