"""Descriptors that travel over UNIX sockets: SCM_RIGHTS, unix(7). One attempt each, on a non-blocking socket.

What arrives is open in this process the moment recvmsg(2) returns, so whoever receives it has to close it, whatever
goes wrong afterwards.
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

# Close-on-exec from the start, where the system can do that: else a fork in another OS thread could come in between.
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def send_descriptors(sock: socket.socket, data: ReadableBuffer, fds: Sequence[int]) -> int:
    """Send some of `data`, and all of `fds` with its first byte; return how many bytes. BlockingIOError: no room."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    return sock.sendmsg([data], [rights], NOSIGNAL)


def receive_descriptors(sock: socket.socket, n: int, most: int) -> tuple[bytes, list[int]]:
    """Receive up to `n` bytes, and the descriptors that came with them, close-on-exec. BlockingIOError: nothing there.

    OSError (EMSGSIZE), and all are closed, if there were more than `most`.
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
