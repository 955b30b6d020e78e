"""Socket options whose right value is a fact of the operating system."""

from __future__ import annotations

import os
import socket


def prepare_listener(sock: socket.socket) -> None:
    """Before bind(2): let an address be taken again whose old connections still linger, and never one in use.

    POSIX says that with SO_REUSEADDR, where on Windows the same option lets a second program steal the port, and
    SO_EXCLUSIVEADDRUSE is the one to set. UNIX sockets have neither.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if os.name == "nt":
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
