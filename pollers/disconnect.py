"""Undoing connect(2) on a datagram socket.

POSIX does this by a connect(2) to an address of the family AF_UNSPEC. Python's socket module cannot express such an
address, so this module calls the C library. Winsock takes an address of zeros.
"""

from __future__ import annotations

import errno
import os
import socket


def disconnect(sock: socket.socket) -> None:
    """Let a connected datagram socket send to and receive from any address again. It keeps its local port.

    Datagrams of the peer that have arrived can still be received. Raises OSError if the system refuses. connect(2).
    """
    if hasattr(sock, "disconnect"):  # it is none of the kernel's
        sock.disconnect()
        return
    before = sock.getsockname()
    if os.name == "nt":
        sock.connect(("::" if sock.family == socket.AF_INET6 else "0.0.0.0", 0))
    else:
        _connect_to_nowhere(sock.fileno())
    after = sock.getsockname()
    if isinstance(after, tuple) and after[1] != before[1]:  # Linux releases a port that it has chosen itself
        sock.bind((after[0], before[1], *after[2:]))


def _connect_to_nowhere(fd: int) -> None:
    import ctypes  # it is slow to load, and few programs need it

    nowhere = bytes(16)  # AF_UNSPEC is 0 everywhere
    failed = ctypes.CDLL(None, use_errno=True).connect(fd, nowhere, len(nowhere))
    number = ctypes.get_errno()
    if failed and number != errno.EAFNOSUPPORT:  # macOS returns this although it has succeeded
        raise OSError(number, os.strerror(number))
