"""The system calls behind the operations, on non-blocking sockets, and what their errors mean.

An attempt is a function of the handle and one argument. It returns the result, raises BlockingIOError when it is to
be made again after the next event, or raises the operation's error. It is the same function before and after the
wait: an event is never taken for a result, so a stale or spurious one is harmless. Windows has
`winattempts` instead, which is this but for what Winsock does otherwise.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
from typing import Any, NoReturn

from ..operation import Address, Exhausted, Handle, end_of_stream, system_error
from ..unbound import local_address
from .interface import Attempting

# A bit of Handle.ends: a receive has returned the end of the stream, which is what it stays, whatever the sends meet
# later.
ENDED = 0x1

# Another: a send has raised why there is no connection any more. The next ones say EPIPE, as the kernel does.
TOLD = 0x2

# A writer whose peer has gone gets EPIPE, whatever the program made of SIGPIPE. Where there is no such flag
# (macOS, Windows) the poller of that system sees to it.
NOSIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

# The file is no regular one, or the system wants to read it itself.
_NO_SENDFILE = {errno.EINVAL, errno.ENOTSUP, errno.ESPIPE, errno.ENOSYS, errno.EOPNOTSUPP}

# What accept(2) reports of the one connection it was about to return: a client that left early, or an error that was
# pending on it. The listener is well; take the next.
_THIS_CONNECTION_NAMES = (
    "ECONNABORTED ECONNRESET EPROTO EPERM ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH ENONET ENOPROTOOPT ENOTCONN"
    " ETIMEDOUT"
)
THIS_CONNECTION = {getattr(errno, name, None) for name in _THIS_CONNECTION_NAMES.split()} - {None}
_ACCEPTS_MAX = 64

# Why the kernel may have ended a connection. It tells once, whoever asks first: see Handle.told().
_ENDS_NAMES = (
    "ECONNABORTED ECONNREFUSED ECONNRESET EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ENONET EPROTO ETIMEDOUT"
)
ENDS = {getattr(errno, name, None) for name in _ENDS_NAMES.split()} - {None}

# Where EWOULDBLOCK and EAGAIN are one number, EAGAIN has been dealt with before this is asked.
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
        # It is the receiver's queue that is full. Events tell of our own buffer only, which is not.
        raise Exhausted(error.errno, error.strerror) from None


def sendfile(handle: Attempting, argument: tuple[int, int, int]) -> int:
    if not hasattr(os, "sendfile"):
        raise io.UnsupportedOperation("this system has no sendfile(2)")
    send = os.sendfile if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN else _sendfile_without_sigpipe
    try:
        return send(handle.fd, *argument)
    except OSError as error:
        if error.errno in _NO_SENDFILE:
            raise io.UnsupportedOperation(f"no sendfile from this file: {error.strerror}") from None
        raise


def _sendfile_without_sigpipe(to: int, fd: int, offset: int, count: int) -> int:
    """sendfile(2) has no flag for it, and Python ignores the signal only until a program wants it back."""
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        return os.sendfile(to, fd, offset, count)
    except BrokenPipeError:
        if signal.SIGPIPE not in masked and signal.SIGPIPE in signal.sigpending():
            signal.sigwait({signal.SIGPIPE})
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def connect(handle: Attempting, progress: list[Any]) -> None:
    """`progress` is [address, begun, any port]: once begun, connect(2) is asked again how it stands."""
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
        # A UNIX listener's queue is full. Nothing is under way and no event will come of it.
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
    """TCP lets a socket connect to itself: when nobody listens there, and that was the free port it was given."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # it has ended already


def wait_readable(handle: Attempting, _: None) -> None:
    if not handle.poller.kept.get(handle) and not handle.poller.ready((handle.fd,), ())[0]:
        _block(handle, "not readable")


def wait_writable(handle: Attempting, _: None) -> None:
    if not handle.poller.ready((), (handle.fd,))[1]:
        _block(handle, "not writable")


def _block(handle: Attempting, why: str) -> NoReturn:
    """Raise BlockingIOError, or EBADF if somebody else has closed the descriptor: no event would end that wait."""
    handle.sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    raise BlockingIOError(errno.EAGAIN, why)
