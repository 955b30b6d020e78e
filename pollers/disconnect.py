"""Undoing connect(2) on a datagram socket.

POSIX has an address of no family for that, which the standard library cannot spell: hence the C library's connect().
Winsock takes an address of zeros.
"""

from __future__ import annotations

import errno
import os
import socket


def disconnect(sock: socket.socket) -> None:
    """Make a connected datagram socket one that sends to and receives from anybody, on the port that it has.

    What has come from the peer can still be received. connect(2), with AF_UNSPEC. OSError when the system refuses.
    """
    before = sock.getsockname()
    if os.name == "nt":
        sock.connect(("::" if sock.family == socket.AF_INET6 else "0.0.0.0", 0))
    else:
        _connect_to_nowhere(sock.fileno())
    after = sock.getsockname()
    if isinstance(after, tuple) and after[1] != before[1]:  # Linux takes back a port that it has chosen itself
        sock.bind((after[0], before[1], *after[2:]))


def _connect_to_nowhere(fd: int) -> None:
    import ctypes  # which takes time to load, and few programs come here

    nowhere = bytes(16)  # AF_UNSPEC is 0 everywhere
    failed = ctypes.CDLL(None, use_errno=True).connect(fd, nowhere, len(nowhere))
    number = ctypes.get_errno()
    if failed and number != errno.EAFNOSUPPORT:  # macOS says that, and has done it
        raise OSError(number, os.strerror(number))
