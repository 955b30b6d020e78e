"""Descriptors that are sent over UNIX sockets: SCM_RIGHTS, unix(7). Each function makes one attempt without a wait.

A descriptor is open in this process as soon as recvmsg(2) returns. So the receiver has to close it, whatever goes wrong
afterwards.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .attempts import NOSIGNAL

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# With this flag the kernel sets close-on-exec at once. Otherwise another OS thread could fork before it is set.
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def send_descriptors(sock: socket.socket, data: ReadableBuffer, fds: Sequence[int]) -> int:
    """Send some of `data`, and all of `fds` with its first byte. Returns the number of bytes sent. sendmsg(2).

    Raises BlockingIOError if there is no room.
    """
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    return sock.sendmsg([data], [rights], NOSIGNAL)


def receive_descriptors(sock: socket.socket, n: int, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `n` bytes and the descriptors that came with them, which are close-on-exec. recvmsg(2).

    Raises BlockingIOError if there is nothing to receive. Raises OSError (EMSGSIZE) if there are more than `most`
    descriptors; all of them are closed then.
    """
    room = socket.CMSG_SPACE(most * array.array("i").itemsize)
    data, ancillary, flags, _ = sock.recvmsg(n, room, _CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if flags & socket.MSG_CTRUNC or len(fds) > most:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.EMSGSIZE, f"more than {most} descriptors came with {len(data)} bytes")
    if not _CLOEXEC:
        for fd in fds:
            os.set_inheritable(fd, False)
    return data, fds.tolist()
