"""Sockets from wherever somebody brings them: a descriptor, socket2's socket, the standard library's."""

from __future__ import annotations

import errno
import socket
from typing import Any

from ..sockets.tcp import TCP, tcp
from .failures import described, told


def taken_over(fd: int) -> TCP:
    """Take an open descriptor over. OSError when there is none, TypeError when it is no stream socket."""
    if isinstance(fd, bool) or not isinstance(fd, int):
        raise told(TypeError(f"a descriptor is a number, not {fd!r}"), code="ERR_INVALID_ARG_TYPE")
    try:
        return tcp(fileno=fd)
    except ValueError as error:
        raise told(TypeError(str(error)), code="ERR_INVALID_FD_TYPE") from None
    except OSError as error:
        if error.errno == errno.ENOTSOCK:
            raise told(TypeError(f"descriptor {fd} is no socket"), code="ERR_INVALID_FD_TYPE") from None
        raise described(error, "open") from None


def socket_of(handle: Any) -> TCP:
    """Take a socket over: socket2's, or the standard library's. TypeError for anything else."""
    if isinstance(handle, TCP):
        return handle
    if isinstance(handle, socket.socket):
        return taken_over(handle.detach())
    raise told(TypeError(f"a handle is a socket, not {handle!r}"), code="ERR_INVALID_HANDLE_TYPE")
