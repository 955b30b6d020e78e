"""What EVFILT_READ and EVFILT_WRITE would report for a descriptor of Linux, without a change to it.

To read SO_ERROR would clear it, so the error of a connection is guessed from its state.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import stat
import struct
import termios
from dataclasses import dataclass
from typing import NamedTuple

# include/net/tcp_states.h
_SYN_SENT, _CLOSE = 2, 7
_WE_HAVE_SHUT_DOWN = {4, 5, 6, 9, 11}  # FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING

_PIPE_ROOM = 4096


class Report(NamedTuple):
    """A condition that is true: the amount, whether the end has come, and the socket's error."""

    data: int
    ended: bool = False
    error: int = 0


@dataclass(frozen=True)
class File:
    """The properties of a descriptor that do not change while it is open."""

    device: int
    inode: int
    mode: int
    family: int = 0
    type: int = 0
    protocol: int = 0

    @property
    def is_anonymous(self) -> bool:
        """Whether it is an epoll, an eventfd or the like. All of them have the same device and inode."""
        return not stat.S_IFMT(self.mode)

    @property
    def is_tcp(self) -> bool:
        return self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM


def identify(fd: int) -> File | None:
    """Return the file behind a descriptor, or None if it is closed."""
    try:
        found = os.fstat(fd)
    except (OSError, OverflowError):
        return None
    return File(found.st_dev, found.st_ino, found.st_mode)


def is_still(fd: int, file: File) -> bool:
    """Return whether the descriptor is open and no other file has its number."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (file.device, file.inode)


def describe(fd: int, file: File) -> File:
    """Set the kind of socket."""
    if not stat.S_ISSOCK(file.mode):
        return file
    sock = socket.socket(fileno=fd)
    try:
        return File(file.device, file.inode, file.mode, sock.family, sock.type, sock.proto)
    finally:
        sock.detach()


def readable(fd: int, file: File, low_water: int) -> Report | None:
    if stat.S_ISREG(file.mode):
        left = os.fstat(fd).st_size - os.lseek(fd, 0, os.SEEK_CUR)
        return Report(left) if left else None
    bits = _poll(fd)
    if stat.S_ISSOCK(file.mode):
        return _socket_readable(fd, file, bits, low_water)
    count = _ioctl(fd, termios.FIONREAD)
    if bits & (select.POLLHUP | select.POLLERR):  # the last writer has gone; or, at the write end, the reader
        return Report(count, ended=True)
    if stat.S_ISFIFO(file.mode):
        return Report(count) if count >= low_water else None
    return Report(count or 1) if bits & select.POLLIN else None


def _socket_readable(fd: int, file: File, bits: int, low_water: int) -> Report | None:
    # No data and no end: this common case does not need the state of the socket.
    if not bits & (select.POLLIN | select.POLLRDHUP | select.POLLERR):
        return None
    sock = _Socket(fd, file)
    if sock.listens:
        if not bits & select.POLLIN:
            return None
        return Report(sock.backlog if file.is_tcp else 1)
    count = _ioctl(fd, termios.FIONREAD)
    if bits & select.POLLRDHUP:
        return Report(count, True, sock.error(bits))
    if bits & select.POLLERR:
        return Report(count)
    if low_water > 1:
        return Report(count) if count >= low_water else None
    if not count and file.type == socket.SOCK_STREAM:
        count = 1  # after an urgent mark, where FIONREAD stops
    return Report(count)


def writable(fd: int, file: File, low_water: int) -> Report | None:
    bits = _poll(fd)
    if stat.S_ISSOCK(file.mode):
        return _socket_writable(fd, file, bits, low_water)
    if bits & select.POLLERR:
        return Report(0, ended=True)
    return Report(_PIPE_ROOM) if bits & select.POLLOUT else None


def _socket_writable(fd: int, file: File, bits: int, low_water: int) -> Report | None:
    if not bits:
        return None
    sock = _Socket(fd, file)
    if sock.listens:
        return None
    room = max(sock.send_buffer // 2 - _ioctl(fd, termios.TIOCOUTQ), 1)
    gone = bits & (select.POLLHUP | select.POLLERR) and bits & select.POLLRDHUP
    if gone or sock.tcp_state in _WE_HAVE_SHUT_DOWN:
        return Report(room, True, sock.error(bits))
    if sock.tcp_state in (_SYN_SENT, _CLOSE) or not bits & select.POLLOUT:
        return None
    return Report(room) if room >= low_water else None


class _Socket:
    """The state of a socket at one moment."""

    def __init__(self, fd: int, file: File) -> None:
        self._file = file
        self.tcp_state = self.backlog = self._round_trip = 0
        sock = socket.socket(file.family, file.type, file.protocol, fileno=fd)
        try:
            self.listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            self.send_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            if file.is_tcp:
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                self.tcp_state = info[0]
                (self.backlog,) = struct.unpack_from("I", info, 24)  # tcpi_unacked
                (self._round_trip,) = struct.unpack_from("I", info, 68)  # tcpi_rtt
        finally:
            sock.detach()

    def error(self, bits: int) -> int:
        if not bits & select.POLLERR:
            return 0
        was_connected = self._round_trip or not self._file.is_tcp
        return errno.ECONNRESET if was_connected else errno.ECONNREFUSED


def _poll(fd: int) -> int:
    look = select.poll()
    look.register(fd, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return next((bits for _, bits in look.poll(0)), 0)


def _ioctl(fd: int, request: int) -> int:
    answer = array.array("i", [0])
    try:
        fcntl.ioctl(fd, request, answer)
    except OSError:
        return 0
    return answer[0]
