"""Sockets that are not bound: Windows has no name for them, where others say that they have the address of any."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any


def local_address(sock: socket.socket) -> Any:
    """Return what getsockname(2) does; of an unbound socket the address of any on Windows, too."""
    try:
        return sock.getsockname()
    except OSError as error:
        if os.name != "nt" or error.errno != errno.EINVAL:
            raise
    return ("0.0.0.0", 0) if sock.family == socket.AF_INET else ("::", 0, 0, 0)
