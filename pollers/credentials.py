"""Who is at the other end of a UNIX socket. Each system reports this in its own way."""

from __future__ import annotations

import socket
import struct

_SOL_LOCAL = 0  # BSD and macOS
_XUCRED = "=II"  # version and user; groups follow


def peer_uid(sock: socket.socket) -> int:
    """Return the user id of the process that connected the UNIX stream socket.

    Linux has SO_PEERCRED (unix(7)), FreeBSD and macOS have LOCAL_PEERCRED (unix(4)). Raises OSError on other systems.
    """
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("iii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iii")))
        return int(uid)
    if hasattr(socket, "LOCAL_PEERCRED"):
        _, uid = struct.unpack_from(_XUCRED, sock.getsockopt(_SOL_LOCAL, socket.LOCAL_PEERCRED, 256))
        return int(uid)
    raise OSError("this system does not report who is at the other end of a UNIX socket")
