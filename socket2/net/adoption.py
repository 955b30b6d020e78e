"""Takes over existing sockets: a descriptor, a socket2 socket, or a socket of the standard library."""

from __future__ import annotations

import errno
import socket
from typing import Any

from ..sockets.tcp import TCP, tcp
from .failures import described, told


def taken_over(fd: int) -> TCP:
    """Take over an open descriptor. Raises OSError if it is not open, TypeError if it is not a stream socket."""
    if isinstance(fd, bool) or not isinstance(fd, int):
        raise told(TypeError(f"a descriptor must be a number, not {fd!r}"), code="ERR_INVALID_ARG_TYPE")
    try:
        return tcp(fileno=fd)
    except ValueError as error:
        raise told(TypeError(str(error)), code="ERR_INVALID_FD_TYPE") from None
    except OSError as error:
        if error.errno == errno.ENOTSOCK:
            raise told(TypeError(f"descriptor {fd} is not a socket"), code="ERR_INVALID_FD_TYPE") from None
        raise described(error, "open") from None


def socket_of(handle: Any) -> TCP:
    """Take over a socket of socket2 or of the standard library. Raises TypeError for anything else."""
    if isinstance(handle, TCP):
        return handle
    if isinstance(handle, socket.socket):
        return taken_over(handle.detach())
    raise told(TypeError(f"a handle must be a socket, not {handle!r}"), code="ERR_INVALID_HANDLE_TYPE")
