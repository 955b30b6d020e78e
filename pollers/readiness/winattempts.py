"""Receiving and sending on Windows, with the same results as on other systems. Replaces `attempts` there.

Winsock differs in three ways. A datagram that does not fit is an error, and its sender's address is lost. A receive
after a shutdown(2) of this side is an error, not an end of stream. A datagram that cannot be delivered resets the
socket that sent it, even if that socket sends to many peers. All other attempts are those of `attempts`.
"""

from __future__ import annotations

import errno
import operator
import socket
from typing import Any

from ..operation import Address, end_of_stream, system_error
from .attempts import NOSIGNAL, accept, connect, sendfile, sendto, wait_readable, wait_writable
from .interface import Attempting

__all__ = [
    "NOSIGNAL",
    "accept",
    "connect",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "send",
    "sendfile",
    "sendto",
    "wait_readable",
    "wait_writable",
]

_DATAGRAM_MAX = 65535


def recv(handle: Attempting, n: int) -> bytes:
    if not handle.drains:
        return recvfrom(handle, n)[0]
    try:
        data = handle.sock.recv(n)
    except OSError as error:
        if error.errno != errno.ESHUTDOWN:
            raise
        return b""
    if not data:
        end_of_stream(handle)
    elif len(data) < n:
        handle.reading.ready = False
    return data


def recv_into(handle: Attempting, argument: tuple[Any, int]) -> int:
    buffer, n = argument
    if not handle.drains:
        return recvfrom_into(handle, argument)[0]
    try:
        count = handle.sock.recv_into(buffer, n)
    except OSError as error:
        if error.errno != errno.ESHUTDOWN:
            raise
        return 0
    if not count:
        end_of_stream(handle)
    elif count < n:
        handle.reading.ready = False
    return count


def recvfrom(handle: Attempting, n: int) -> tuple[bytes, Address]:
    if handle.drains:
        return recv(handle, n), None
    n = operator.index(n)
    while True:
        try:
            data, address = handle.sock.recvfrom(max(n, _DATAGRAM_MAX))
        except ConnectionResetError:
            if _has_peer(handle.sock):
                raise system_error(errno.ECONNREFUSED) from None
        else:
            return data[:n], address


def recvfrom_into(handle: Attempting, argument: tuple[Any, int]) -> tuple[int, Address]:
    buffer, n = argument
    if handle.drains:
        return recv_into(handle, argument), None
    data, address = recvfrom(handle, n)
    with memoryview(buffer) as view, view.cast("B") as octets:
        octets[: len(data)] = data
    return len(data), address


def send(handle: Attempting, data: Any) -> int:
    try:
        return handle.sock.send(data)
    except OSError as error:
        if handle.drains or error.errno not in (errno.ENOTCONN, errno.EINVAL) or _has_peer(handle.sock):
            raise
        raise system_error(errno.EDESTADDRREQ) from None


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
