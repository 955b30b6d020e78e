"""Messages with control data: recvmsg(2), sendmsg(2). Each function makes one attempt without a wait.

A descriptor is open in this process as soon as recvmsg(2) returns. So the receiver has to close it, whatever goes wrong
afterwards.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any

from ..closing import close_descriptors, closer_of
from ..control import FD_SIZE, Control, control_of, rights_of, without_rights
from ..operation import Address, Exhausted
from .attempts import NOSIGNAL

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# With this flag the kernel sets close-on-exec at once. Otherwise another OS thread could fork before it is set.
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

# How many buffers sendmsg(2) takes.
_BUFFERS_MAX = os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 16

Received = tuple[bytes, list[Control], list[int], int, Address]
"""The data, the control data without descriptors, the descriptors, flags (MSG_TRUNC, MSG_CTRUNC), and the sender."""


def check_messages(sock: object) -> None:
    """Raise io.UnsupportedOperation if there is no recvmsg(2) and sendmsg(2) for this socket."""
    if not hasattr(sock, "recvmsg"):
        raise io.UnsupportedOperation("this system has no recvmsg(2) and sendmsg(2)")


def receive_message(sock: socket.socket, n: int, room: int, most: int) -> Received:
    """Receive up to `n` bytes, `room` bytes of control data, and up to `most` descriptors. recvmsg(2).

    The descriptors are close-on-exec, and the caller's. More than `most` are closed, as if the kernel had done that:
    then MSG_CTRUNC is set. Raises BlockingIOError if there is nothing to receive.
    """
    room += socket.CMSG_SPACE(most * FD_SIZE) if most else 0
    came: list[Any] = []
    fds: list[int] | None = None
    try:
        # In one call: a signal handler that raises comes before or after.
        came.extend(starmap(sock.recvmsg, [(n, room, _CLOEXEC)]))
        data, ancillary, flags, address = came[0]
        fds = rights_of(ancillary)
        if len(fds) > most:
            flags |= socket.MSG_CTRUNC
            close_descriptors(fds, most, closer_of(sock))
        if not _CLOEXEC:
            for fd in fds:
                os.set_inheritable(fd, False)
        return data, without_rights(ancillary), fds, flags, address
    except BaseException:
        if came:  # a signal handler raised
            close_descriptors(rights_of(came[0][1]) if fds is None else fds, closer=closer_of(sock))
        raise


def send_message(
    sock: socket.socket, buffers: Sequence[ReadableBuffer], control: Sequence[Control], address: Address = None
) -> int:
    """Send the concatenated buffers with control data, to a numeric address or to the peer. sendmsg(2).

    Returns the number of bytes sent. Raises BlockingIOError if there is no room, Exhausted if the queue of a UNIX
    receiver that is not the peer is full.
    """
    if len(buffers) > _BUFFERS_MAX:
        buffers = buffers[:_BUFFERS_MAX] if sock.type == socket.SOCK_STREAM else [b"".join(buffers)]
    if address is None:
        return sock.sendmsg(buffers, control, NOSIGNAL)
    try:
        return sock.sendmsg(buffers, control, NOSIGNAL, address)
    except BlockingIOError as error:
        if sock.family != getattr(socket, "AF_UNIX", None):
            raise
        # Events report only our own buffer, which is not full.
        raise Exhausted(error.errno, error.strerror) from None


def send_descriptors(sock: socket.socket, data: ReadableBuffer, fds: Sequence[int]) -> int:
    """Send some of `data`, and all of `fds` with its first byte. Returns the number of bytes sent. sendmsg(2).

    Raises BlockingIOError if there is no room.
    """
    return send_message(sock, [data], control_of(sock.family, fds=fds))


def receive_descriptors(sock: socket.socket, n: int, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `n` bytes and the descriptors that came with them, which are close-on-exec. recvmsg(2).

    Raises BlockingIOError if there is nothing to receive. Raises OSError (EMSGSIZE) if there are more than `most`
    descriptors; all of them are closed then.
    """
    data, _, fds, flags, _ = receive_message(sock, n, 0, most)
    if flags & socket.MSG_CTRUNC:
        close_descriptors(fds, closer=closer_of(sock))
        raise OSError(errno.EMSGSIZE, f"more than {most} descriptors came with {len(data)} bytes")
    return data, fds
