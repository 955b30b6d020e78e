"""Sockets that may not be bound: Windows has no name for them, where others say that they have the address of any."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

# WSAPROTOCOL_INFO, and where the family is in it.
_SO_PROTOCOL_INFO, _INFO_SIZE, _FAMILY_AT = 0x2005, 628, 76


def local_address(sock: socket.socket) -> Any:
    """Return what getsockname(2) does; of an unbound socket the address of any on Windows, too."""
    try:
        return sock.getsockname()
    except OSError as error:
        if not _is_unbound(error):
            raise
    return ("0.0.0.0", 0) if sock.family == socket.AF_INET else ("::", 0, 0, 0)


def adopt(fileno: int) -> socket.socket:
    """Return the open descriptor `fileno` as a socket. OSError when it is none."""
    try:
        return socket.socket(fileno=fileno)
    except OSError as error:
        if not _is_unbound(error):
            raise
    sock = socket.socket(socket.AF_INET, fileno=fileno)
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL_INFO, _INFO_SIZE)
    sock.detach()
    return socket.socket(struct.unpack_from("i", info, _FAMILY_AT)[0], fileno=fileno)


def _is_unbound(error: OSError) -> bool:
    return os.name == "nt" and error.errno == errno.EINVAL
