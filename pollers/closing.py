"""Closing a socket without a wait, and only if its descriptor still belongs to it.

If SO_LINGER is set, close(2) waits for the peer even if the socket is non-blocking; Winsock refuses to close it. If
somebody else has closed the descriptor, its number may belong to another socket or file by now. A second close(2)
would break that one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

# struct linger has two shorts on Windows and two ints on POSIX systems.
LINGER = struct.Struct("HH" if os.name == "nt" else "ii")
_ON_SIZE = LINGER.size // 2
_OFF = bytes(LINGER.size)

# A number that no other socket of this machine ever has: socket(7).
_SO_COOKIE = 57

_cookies = hasattr(socket, "SO_DOMAIN") and os.uname().sysname == "Linux"


def identity(sock: socket.socket) -> object:
    """Return a value that tells this socket from others with the same descriptor number, or None if there is none.

    Linux has SO_COOKIE, other POSIX systems the device and inode of fstat(2), which is also for what is no socket
    (file.py), Windows nothing.
    """
    global _cookies
    if _cookies and sock.family:
        try:
            return sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            _cookies = False
    if os.name == "nt":
        return None
    try:
        status = os.fstat(sock.fileno())
    except OSError:
        return None  # closed, or a socket that is none of the kernel's
    return status.st_dev, status.st_ino


def close(sock: socket.socket, whose: object = None) -> None:
    """Close the descriptor, unless `whose` (an identity()) says that it belongs to another socket by now. Never waits.

    The kernel still sends the data that it has taken. If SO_LINGER is 0 seconds, it resets the connection instead.
    """
    if whose is not None and not _is(sock, whose):
        sock.detach()
        return
    try:
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.size)
        if linger[:_ON_SIZE].strip(b"\0") and linger[_ON_SIZE:].strip(b"\0"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _OFF)
    except OSError:
        pass  # the socket is in a state in which it has no options
    with suppress(OSError):
        sock.close()


def _is(sock: socket.socket, whose: object) -> bool:
    try:
        return identity(sock) == whose
    except OSError:
        return False


class Identified(Protocol):
    """Something that has a socket, and the identity() which that socket had when it was taken over."""

    @property
    def sock(self) -> socket.socket: ...
    @property
    def identity(self) -> object: ...


def close_all(handles: Iterable[Identified]) -> None:
    for handle in handles:
        close(handle.sock, handle.identity)


def closer_of(sock: object) -> Callable[[int], object]:
    """Return what closes a descriptor that has come over this socket. A socket that is none of the kernel's has it."""
    closer: Callable[[int], object] = getattr(sock, "close_descriptor", os.close)
    return closer


def close_descriptors(fds: list[int], keep: int = 0, closer: Callable[[int], object] | None = None) -> None:
    """Close all but the first `keep` descriptors, and remove them from the list. close(2). `closer`: closer_of().

    A signal handler that raises comes before all of that or after it, so another call closes what is left, and nothing
    twice. If one of them is not open, the others are closed, and OSError (EBADF) is raised.
    """
    closing = map(closer or os.close, map(fds.pop, [keep] * (len(fds) - keep)))
    try:
        any(closing)
    finally:
        any(closing)
