"""The files of UNIX sockets: taking a path over from a dead server, its rights, and removing it.

Nobody can connect to a stream socket before listen(2), so a file that gets its rights between bind(2) and listen(2) is
never open to more people. But until then it looks like the file of a dead server. So whoever takes a path holds a lock
on a file beside it, with SUFFIX appended to the name. That file exists only for this short time.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

Path: TypeAlias = "str | bytes"

SUFFIX: Final = ".socket2-lock"


class BoundPath:
    """The file of a bound socket. A process that has inherited the socket does not own the file."""

    def __init__(self, path: Path) -> None:
        """`path`: where a socket of this process was bound just now. An abstract name is no file."""
        self._path = os.path.abspath(path) if not is_abstract(path) else path
        self._file = _identity(self._path)
        self._pid = os.getpid()

    def is_there(self) -> bool:
        """Return whether the path still leads to this file, and the file is this process's."""
        return self._file is not None and _identity(self._path) == self._file and os.getpid() == self._pid

    def remove(self) -> None:
        """Remove the file, unless the path leads to another one by now, or another process owns it.

        Call this before the socket is closed: as long as it is open, no other file has its inode number, and no other
        server takes its path.
        """
        with suppress(OSError):
            if self.is_there():
                os.unlink(self._path)


def is_abstract(path: Path) -> bool:
    """Return whether this is an abstract name of Linux, or the empty name that makes the kernel choose one."""
    return path[:1] in ("", "\0", b"", b"\0")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None  # an abstract name, or a file that is gone
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def bind_path(
    sock: socket.socket,
    path: Path,
    mode: int | None,
    owner: tuple[int, int],
    probe: Callable[[], socket.socket],
    begin: Callable[[], object],
) -> BoundPath:
    """Bind a UNIX socket to a path, set the rights of the file, and call `begin`, which makes a stream socket listen.

    `mode`: the rights, whatever the umask is; None: those that the umask leaves. `owner`: user and group, -1 leaves one
    as it is. `probe`: makes a socket of the same kind, which finds out whether somebody answers at the path. If not,
    the path is taken over.
    Raises OSError (EADDRINUSE) if there is a file that is no socket, if somebody answers, or if another process is just
    taking the path. After an error there is no new file. A datagram socket can be sent to at once: on Linux its file
    never has more rights than `mode`, elsewhere it has those of the umask for a moment.
    """
    with _alone_at(path):
        _remove_stale(path, probe)
        if mode is not None:
            with suppress(OSError):  # only on Linux does bind(2) take the rights of the socket
                os.fchmod(sock.fileno(), mode if owner == (-1, -1) else mode & stat.S_IRWXU)
        sock.bind(path)
        bound = BoundPath(path)
        try:
            if owner != (-1, -1):
                os.chown(path, *owner, follow_symlinks=False)
            if mode is not None and stat.S_IMODE(os.lstat(path).st_mode) != mode and bound.is_there():
                os.chmod(path, mode)
            begin()
        except BaseException:
            bound.remove()
            raise
        return bound


def _remove_stale(path: Path, probe: Callable[[], socket.socket]) -> None:
    """Remove the path of a server that has gone: one that refuses connections."""
    found = _identity(path)
    if found is None:
        return
    with suppress(OSError), probe() as sock:
        sock.setblocking(False)
        try:
            sock.connect(path)
        except ConnectionRefusedError:
            if _identity(path) == found:
                os.unlink(path)


@contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Hold the lock of a path. Raises OSError (EADDRINUSE) if somebody else holds it: nobody waits here."""
    name = os.fsencode(path) + SUFFIX.encode()
    fd = _locked(name, path)
    try:
        while not _is_at(name, fd):  # the last holder has removed the file since it was opened
            os.close(fd)
            fd = -1
            fd = _locked(name, path)
        try:
            yield
        finally:
            with suppress(OSError):  # somebody has cleaned up
                os.unlink(name)
    finally:
        if fd >= 0:
            os.close(fd)


def _locked(name: bytes, path: Path) -> int:
    """Open the lock file of a path, and lock it."""
    import fcntl  # no such module on Windows

    fd = _opened(name, path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EEXIST, "this should be a lock file", os.fsdecode(name))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise OSError(errno.EADDRINUSE, "another process is about to listen here", path) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _opened(name: bytes, path: Path) -> int:
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        where = os.fsdecode(name) if os.path.lexists(name) else path
        raise OSError(error.errno, error.strerror, where) from None


def _is_at(name: bytes, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(name), os.fstat(fd))
    except OSError:
        return False
