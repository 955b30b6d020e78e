"""Reading and writing a descriptor without a wait, and without a change to its open file description.

O_NONBLOCK belongs to the open file description. A terminal or an inherited pipe shares it with the shell and with other
processes, which then fail with EAGAIN. So the flag is set only for descriptions that nobody else has: a new pipe's, or
one that a terminal or FIFO got by being opened once more. Linux can also read and write once without a wait
(RWF_NOWAIT), and sockets can (MSG_DONTWAIT). What is left is to ask poll(2) first, and to write little at a time.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat

from .probe import ready
from .sigpipe import without_sigpipe

_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ESPIPE}

_NOWAIT = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0

# The master of a pseudoterminal on Linux. To open it again makes another pseudoterminal.
_PTMX = (5, 2)


class Access:
    """A descriptor to read from and to write to. If that would block, read() and write() raise BlockingIOError.

    `ours`: its open file description is ours alone, and non-blocking.
    """

    def __init__(self, fileno: int, ours: bool = False) -> None:
        mode = os.fstat(fileno).st_mode
        self.fd = fileno
        """The descriptor to wait for. It changes when the file is opened once more."""
        self.ours = ours
        self.is_disk = stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)
        """Whether it is a file on a disk. There is no way to read that without a wait."""
        self._mode = mode
        self._sock = socket.socket(fileno=os.dup(fileno)) if stat.S_ISSOCK(mode) else None
        self.readable, self.writable = directions(fileno)
        self._ask = not ours and self._sock is None and not self.is_disk  # try RWF_NOWAIT
        self._careful = False  # ask poll(2), since a call could block

    def read(self, n: int) -> bytes:
        """Read 1 to `n` bytes; b"" at the end."""
        if self._sock is not None:
            return self._sock.recv(n, socket.MSG_DONTWAIT)
        if self._ask and _NOWAIT:
            buffer = bytearray(n)
            try:
                return bytes(memoryview(buffer)[: os.preadv(self.fd, [buffer], -1, _NOWAIT)])
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
        self._open_again()
        if self._careful and self.fd not in ready((self.fd,), ())[0]:
            raise _would_block()
        return os.read(self.fd, n)

    def write(self, data: memoryview) -> int:
        """Write some of `data`. Return how many bytes. Never causes SIGPIPE."""
        if self._sock is not None:
            return self._sock.send(data, socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0))
        if self._ask and _NOWAIT:
            try:
                return without_sigpipe(os.pwritev, self.fd, [data], -1, _NOWAIT)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
        self._open_again()
        if self._careful:
            if self.fd not in ready((), (self.fd,))[1]:
                raise _would_block()
            data = data[: select.PIPE_BUF if stat.S_ISFIFO(self._mode) else 1]
        return without_sigpipe(os.write, self.fd, data)

    def close(self) -> None:
        """Close what was opened for this object. The descriptor itself stays open, unless it was opened once more."""
        if self._sock is not None:
            self._sock.close()

    def _open_again(self) -> None:
        """RWF_NOWAIT does not work here. Find another way."""
        if not self._ask:
            return
        self._ask = False
        if os.get_blocking(self.fd):
            again = opened_again(self.fd, self._mode, self.readable, self.writable)
            self._careful = again is None
            if again is not None:
                self.fd, self.ours = again, True


def directions(fileno: int) -> tuple[bool, bool]:
    """Return whether the descriptor is open for reading, and whether for writing."""
    import fcntl  # no such module on Windows

    mode = fcntl.fcntl(fileno, fcntl.F_GETFL) & os.O_ACCMODE
    return mode != os.O_WRONLY, mode != os.O_RDONLY


def opened_again(fileno: int, mode: int, readable: bool, writable: bool) -> int | None:
    """Return a new descriptor with a non-blocking description of its own, for a terminal or FIFO. None: impossible."""
    status = os.fstat(fileno)
    try:
        if stat.S_ISFIFO(mode):
            path = f"/proc/self/fd/{fileno}"
        elif (os.major(status.st_rdev), os.minor(status.st_rdev)) != _PTMX:
            path = os.ttyname(fileno)
        else:
            return None
        if not os.path.samestat(os.stat(path), status):
            return None
        access = os.O_RDWR if readable and writable else os.O_WRONLY if writable else os.O_RDONLY
        return os.open(path, access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


def _would_block() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
