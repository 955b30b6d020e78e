"""Undoing connect(2) on a datagram socket: connecting it to an address of no family, which only the C library takes."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from typing import Any


def disconnect(sock: socket.socket) -> None:
    """Make a connected datagram socket one that sends to and receives from anybody, on the port that it has.

    What has come from the peer can still be received. connect(2), with AF_UNSPEC. OSError when the system refuses.
    """
    before = sock.getsockname()
    nowhere = bytes(16)  # AF_UNSPEC is 0 everywhere
    library: Any = ctypes.CDLL("ws2_32" if os.name == "nt" else None, use_errno=True)
    failed = library.connect(ctypes.c_size_t(sock.fileno()), nowhere, len(nowhere))
    number = ctypes.get_errno()
    if failed and number != errno.EAFNOSUPPORT:  # macOS says that, and has done it
        raise OSError(number, os.strerror(number))
    after = sock.getsockname()
    if isinstance(after, tuple) and after[1] != before[1]:  # Linux takes back a port that it has chosen itself
        sock.bind((after[0], before[1], *after[2:]))
