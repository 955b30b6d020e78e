"""Receiving and sending as Winsock does it, made to be as elsewhere.

A datagram that does not fit is an error there, and the sender's address is lost with it; what an own shutdown has ended
is an error and no end of stream; and a datagram that could not be delivered resets the socket that sent it, also one
that has sent to many. On Windows this takes the place of `attempts`, of which it hands on the rest.
"""

from __future__ import annotations

import errno
import operator
import socket
from typing import Any

from ..operation import Address, end_of_stream, system_error
from .attempts import DRAINS, NOSIGNAL, accept, connect, sendfile, sendto, wait_readable, wait_writable
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
    if not handle.armed & DRAINS:
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
    if not handle.armed & DRAINS:
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
    if handle.armed & DRAINS:
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
    if handle.armed & DRAINS:
        return recv_into(handle, argument), None
    data, address = recvfrom(handle, n)
    with memoryview(buffer) as view, view.cast("B") as octets:
        octets[: len(data)] = data
    return len(data), address


def send(handle: Attempting, data: Any) -> int:
    try:
        return handle.sock.send(data)
    except OSError as error:
        if handle.armed & DRAINS or error.errno not in (errno.ENOTCONN, errno.EINVAL) or _has_peer(handle.sock):
            raise
        raise system_error(errno.EDESTADDRREQ) from None


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
