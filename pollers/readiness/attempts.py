"""The system calls behind the operations, on non-blocking sockets, and what their errors mean.

An attempt is a function of the handle and one argument. It returns the result, raises BlockingIOError if it must be
made again after the next event, or raises the error of the operation. The same function runs before and after the
wait, so a stale or spurious event does no harm. This module must not know how a poller waits.
Windows uses `winattempts` instead, which replaces the attempts in which Winsock differs.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from typing import Any, NoReturn

from ..operation import Address, Exhausted, Handle, end_of_stream, system_error
from ..sigpipe import without_sigpipe
from ..unbound import local_address
from .interface import Attempting

# Handle.ends has two flags. ENDED: a receive has returned the end of the stream. Later receives return it, too,
# whatever happens to the sends.
ENDED = 0x1

# TOLD: a send has raised why the connection has ended. Later sends raise EPIPE, as in the kernel.
TOLD = 0x2

# If the peer has gone, a send gets EPIPE, whatever the program does with SIGPIPE. Systems without this flag (macOS,
# Windows) have their own way in their pollers.
NOSIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

# The errors of sendfile(2) for a file that the system cannot send from.
_NO_SENDFILE = {errno.EINVAL, errno.ENOTSUP, errno.ESPIPE, errno.ENOSYS, errno.EOPNOTSUPP}

# Errors of accept(2) that concern only the connection that it was about to return: its client has left early, or an
# error was pending on it. The listener still works, so the attempt takes the next connection.
_THIS_CONNECTION_NAMES = (
    "ECONNABORTED ECONNRESET EPROTO EPERM ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH ENONET ENOPROTOOPT ENOTCONN"
    " ETIMEDOUT"
)
THIS_CONNECTION = {getattr(errno, name, None) for name in _THIS_CONNECTION_NAMES.split()} - {None}
_ACCEPTS_MAX = 64

# The reasons for which the kernel ends a connection. It reports the reason only once: see Handle.told().
_ENDS_NAMES = (
    "ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ENONET EPROTO ETIMEDOUT"
)
ENDS = {getattr(errno, name, None) for name in _ENDS_NAMES.split()} - {None}

# If EWOULDBLOCK and EAGAIN are the same number, connect() handles EAGAIN before it looks here.
_IN_PROGRESS = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR, errno.EWOULDBLOCK}


def recv(handle: Attempting, n: int) -> bytes:
    data = handle.sock.recv(n)
    if len(data) < n:
        if not data:
            end_of_stream(handle)
        elif handle.drains:
            handle.reading.ready = False
    return data


def recv_into(handle: Attempting, argument: tuple[Any, int]) -> int:
    buffer, n = argument
    count = handle.sock.recv_into(buffer, n)
    if count < n:
        if not count:
            end_of_stream(handle)
        elif handle.drains:
            handle.reading.ready = False
    return count


def recvfrom(handle: Attempting, n: int) -> tuple[bytes, Address]:
    received = handle.sock.recvfrom(n)
    if n and not received[0]:
        end_of_stream(handle)
    return received


def recvfrom_into(handle: Attempting, argument: tuple[Any, int]) -> tuple[int, Address]:
    received = handle.sock.recvfrom_into(*argument)
    if argument[1] and not received[0]:
        end_of_stream(handle)
    return received


def accept(handle: Attempting, _: None) -> tuple[Handle, Address]:
    kept = handle.poller.kept
    if kept and kept.get(handle):
        return kept[handle].pop(0)
    for _try in range(_ACCEPTS_MAX):
        try:
            sock, address = handle.sock.accept()
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise Exhausted(error.errno, error.strerror) from None
            if error.errno not in THIS_CONNECTION:
                raise
        else:
            return handle.poller.admit(sock, handle.drains), address
    raise Exhausted(errno.ECONNABORTED, f"{_ACCEPTS_MAX} connections in a row were lost before they were accepted")


def send(handle: Attempting, data: Any) -> int:
    return handle.sock.send(data, NOSIGNAL)


def sendto(handle: Attempting, argument: tuple[Any, Address]) -> int:
    try:
        return handle.sock.sendto(argument[0], NOSIGNAL, argument[1])
    except BlockingIOError as error:
        if handle.sock.family != getattr(socket, "AF_UNIX", None):
            raise
        # The receiver's queue is full. Events report only our own buffer, which is not full.
        raise Exhausted(error.errno, error.strerror) from None


def kernel_sendfile(sock: socket.socket, fd: int, offset: int, count: int) -> int:
    """Do sendfile(2) to a socket of the kernel."""
    return without_sigpipe(os.sendfile, sock.fileno(), fd, offset, count)


def sendfile(handle: Attempting, argument: tuple[int, int, int]) -> int:
    if not hasattr(os, "sendfile"):
        raise io.UnsupportedOperation("this system has no sendfile(2)")
    try:
        return handle.poller.sendfile(handle.sock, *argument)
    except OSError as error:
        if error.errno in _NO_SENDFILE:
            raise io.UnsupportedOperation(f"sendfile cannot send this file: {error.strerror}") from None
        raise


def connect(handle: Attempting, progress: list[Any]) -> None:
    """Connect. `progress` is [address, begun, any port]. Once begun, later attempts ask connect(2) for the state."""
    address, begun, any_port = progress
    sock = handle.sock
    if not begun:
        progress[2] = any_port = _may_get_any_port(sock)
    if begun and (failure := handle.failure or sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise system_error(failure)
    number = sock.connect_ex(address)
    if number == 0 or (begun and number == errno.EISCONN):
        if any_port and is_its_own_peer(sock):
            raise system_error(errno.ECONNREFUSED)
        handle.begin_anew()
        return
    if number == errno.EAGAIN:
        # A UNIX listener's queue is full: no connect is in progress, and no event will follow.
        raise Exhausted(number, os.strerror(number))
    if number in _IN_PROGRESS:
        if not begun:
            handle.begin_anew()
        progress[1] = True
        raise BlockingIOError(number, os.strerror(number))
    progress[1] = True
    raise system_error(number)


def _may_get_any_port(sock: socket.socket) -> bool:
    return (
        sock.type == socket.SOCK_STREAM
        and sock.family in (socket.AF_INET, socket.AF_INET6)
        and not local_address(sock)[1]
    )


def is_its_own_peer(sock: socket.socket) -> bool:
    """Return whether the socket is connected to itself.

    TCP allows this if nobody listens at the address and the kernel has chosen that very port for the socket.
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # the connection has ended already


def wait_readable(handle: Attempting, _: None) -> None:
    if not handle.poller.kept.get(handle) and not handle.poller.ready((handle.fd,), ())[0]:
        _block(handle, "not readable")


def wait_writable(handle: Attempting, _: None) -> None:
    if not handle.poller.ready((), (handle.fd,))[1]:
        _block(handle, "not writable")


def _block(handle: Attempting, why: str) -> NoReturn:
    """Raise BlockingIOError, or EBADF if somebody else has closed the descriptor, since no event would end the wait."""
    handle.sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    raise BlockingIOError(errno.EAGAIN, why)
