"""Descriptors that are no sockets, in the form that attach() takes: the end of a pipe, a terminal, a pidfd, a queue.

Their handles wait, close and detach, and do nothing else. Reading and writing are in `nowait`.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from typing import cast


class File:
    """What pollers use of a socket, for an open descriptor that is none. Raises OSError (EBADF) if it is not open."""

    family = type = proto = 0  # no socket has this family

    def __init__(self, fileno: int) -> None:
        os.fstat(fileno)
        self._fd = fileno

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, flag: bool) -> None:
        """Do nothing. O_NONBLOCK belongs to the open file description, which other processes may have, too."""

    def getsockopt(self, level: int, option: int, length: int = 0) -> int | bytes:
        """Answer SO_TYPE, by which pollers ask whether it is still open. Raises OSError (EBADF) if not."""
        os.fstat(self._fd)
        if level == socket.SOL_SOCKET and option == socket.SO_TYPE:
            return self.type
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    def close(self) -> None:
        fd = self.detach()
        if fd >= 0:
            os.close(fd)

    def detach(self) -> int:
        fd, self._fd = self._fd, -1
        return fd


def file(fileno: int, /) -> socket.socket:
    """Take over an open descriptor that is no socket. See Poller.file()."""
    if os.name == "nt":
        raise refusal()
    return cast(socket.socket, File(fileno))


def refusal() -> io.UnsupportedOperation:
    """Return the error for a wait that the system does not have."""
    return io.UnsupportedOperation(
        "this system can wait for sockets that socket2 has made or taken over, and for nothing else: use"
        " call_in_thread() for pipes and other descriptors"
    )
