"""Addresses as Node has them, and sockets from wherever somebody brings them: descriptors, objects, servers."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

from ..sockets.tcp import TCP, tcp
from .failures import described, told
from .ip import family_name

LINGER_NOT = struct.pack("ii", 1, 0)


def host_of(name: Any) -> str | None:
    """The IP address, or the path, of an address as the standard library has it."""
    if isinstance(name, tuple):
        return str(name[0])
    return os.fsdecode(name) or None if name is not None else None


def port_of(name: Any) -> int | None:
    return int(name[1]) if isinstance(name, tuple) else None


def family_of(name: Any) -> str | None:
    return family_name(name[0]) if isinstance(name, tuple) else None


def text_of(host: str | None, port: int | None) -> str:
    if port is None:
        return host or "?"
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"


def address_of(name: Any) -> dict[str, Any] | str:
    """{"address", "family", "port"}; a path is itself; {} for nothing."""
    if isinstance(name, tuple):
        return {"address": host_of(name), "family": family_of(name), "port": port_of(name)}
    return os.fsdecode(name) if name is not None else {}


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
