"""Sockets that may be unbound. For those getsockname(2) returns the wildcard address, but on Windows it fails."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

# The option that returns a WSAPROTOCOL_INFO, its size, and the offset of the family in it (in bytes).
_SO_PROTOCOL_INFO, _INFO_SIZE, _FAMILY_AT = 0x2005, 628, 76


def local_address(sock: socket.socket) -> Any:
    """Return the local address, and for an unbound socket the wildcard address, also on Windows. getsockname(2)."""
    try:
        return sock.getsockname()
    except OSError as error:
        if not _is_unbound(error):
            raise
    return ("0.0.0.0", 0) if sock.family == socket.AF_INET else ("::", 0, 0, 0)


def adopt(fileno: int) -> socket.socket:
    """Return a socket for the open descriptor `fileno`, with its family and type. Raises OSError if it is not one."""
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
