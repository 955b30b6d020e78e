"""Descriptors sent to another process over a UNIX socket, and received from it: unix(7), SCM_RIGHTS.

An operation waits until the socket is ready and then makes one attempt, which takes a message whole or leaves it.
"""

from __future__ import annotations

import operator
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Operation, operation

from .tcp import TCP
from .udp import UDP

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def send_fds(sock: TCP | UDP, data: ReadableBuffer, fds: Iterable[int]) -> Operation[None]:
    """Send all of `data` over a UNIX socket, and with its first byte duplicates of the open descriptors `fds`.

    They stay open here. Cancelled or out of time: `bytes_sent` tells how much of the data went; if that is 0, no
    descriptor did. ValueError for no data, or another family; Busy, Closed, TimeoutError, OSError (EBADF: not open;
    EINVAL: too many, Linux takes 253; ETOOMANYREFS).
    """
    _check(sock)
    with memoryview(data) as view:
        if not view.nbytes:
            raise ValueError("descriptors travel with data: at least one byte")
    return sock.limit_write(_send_fds(sock, data, [operator.index(fd) for fd in fds]))


@operation
def _send_fds(sock: TCP | UDP, data: ReadableBuffer, fds: Sequence[int]) -> Generator[Any, None, None]:
    handle = sock._handle or sock._attach()
    sent = 0
    try:
        with memoryview(data) as view, view.cast("B") as octets:
            while not sent:
                yield from handle.wait_writable(sock)
                try:
                    sent = pollers.send_descriptors(handle.sock, octets, fds)
                except BlockingIOError:
                    pass  # ready for somebody else, or for less
                except OSError as error:
                    raise handle.told(error) or error from None
            if sent < len(octets):
                with octets[sent:] as rest:
                    yield from handle.sendall(rest, sock)
    except BaseException as error:
        error.bytes_sent = sent + getattr(error, "bytes_sent", 0)  # type: ignore[attr-defined]
        raise


def recv_fds(sock: TCP | UDP, n: int, max_fds: int) -> Operation[tuple[bytes, list[int]]]:
    """Receive up to `n` bytes from a UNIX socket and up to `max_fds` descriptors; (b"", []) at the end of the stream.

    The descriptors are yours to close, and close-on-exec. With a stream, receive from the socket itself and not through
    a Stream, whose buffer knows of bytes only: data that is received otherwise loses the descriptors with it.
    Cancelled or out of time: nothing was taken. OSError (EMSGSIZE) if more descriptors came: all of them are closed
    then, and the data is gone. ValueError for another family; Busy, Closed, TimeoutError.
    """
    _check(sock)
    if n < 1 or max_fds < 0:
        raise ValueError(f"at least 1 byte and 0 descriptors can be asked for, not {n} and {max_fds}")
    return sock.limit_read(_recv_fds(sock, n, max_fds))


@operation
def _recv_fds(sock: TCP | UDP, n: int, max_fds: int) -> Generator[Any, None, tuple[bytes, list[int]]]:
    handle = sock._handle or sock._attach()
    while True:
        yield from handle.wait_readable(sock)
        try:
            received = pollers.receive_descriptors(handle.sock, n, max_fds)
        except BlockingIOError:
            continue
        except OSError as error:
            raise handle.told(error) or error from None
        if not received[0]:
            pollers.end_of_stream(handle)
        return received


def _check(sock: TCP | UDP) -> None:
    if sock.family != "unix":
        raise ValueError(f"descriptors travel over UNIX sockets, not over {sock!r}")
