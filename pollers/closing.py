"""Closing a socket: without a wait, and only while its descriptor is its own.

close(2) waits for a peer when SO_LINGER says so, also in a non-blocking socket; Winsock refuses it then. And whoever
closes a descriptor that is not his leaves the number to the next socket or file, which the true owner would close.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

# Windows has two shorts where POSIX has two ints.
LINGER = struct.Struct("HH" if os.name == "nt" else "ii")
_ON_SIZE = LINGER.size // 2
_OFF = bytes(LINGER.size)

# A number that no other socket of this machine has had or will have: socket(7).
_SO_COOKIE = 57

_cookies = hasattr(socket, "SO_DOMAIN") and os.uname().sysname == "Linux"


def identity(sock: socket.socket) -> object:
    """Return what tells this socket from another one with the same number; None where the system has no such thing."""
    global _cookies
    if _cookies:
        try:
            return sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            _cookies = False
    if os.name == "nt":
        return None
    status = os.fstat(sock.fileno())
    return status.st_dev, status.st_ino


def close(sock: socket.socket, whose: object = None) -> None:
    """Close the descriptor; not if it is of another socket than `whose` says, or of none. Does not wait.

    What the kernel has taken is sent all the same, but if SO_LINGER is 0 seconds: then the connection is reset.
    """
    if whose is not None and not _is(sock, whose):
        sock.detach()
        return
    try:
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.size)
        if linger[:_ON_SIZE].strip(b"\0") and linger[_ON_SIZE:].strip(b"\0"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _OFF)
    except OSError:
        pass  # past all options
    with suppress(OSError):
        sock.close()


def _is(sock: socket.socket, whose: object) -> bool:
    try:
        return identity(sock) == whose
    except OSError:
        return False


class Identified(Protocol):
    """Who has a socket, and what told it from others when its descriptor was its own."""

    @property
    def sock(self) -> socket.socket: ...
    @property
    def identity(self) -> object: ...


def close_all(handles: Iterable[Identified]) -> None:
    for handle in handles:
        close(handle.sock, handle.identity)
