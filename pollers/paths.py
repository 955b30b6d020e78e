"""The files of UNIX sockets: taking a path over from a dead server, its rights, and removing it.

Nobody can connect to a stream socket before listen(2), so a file that gets its rights between bind(2) and listen(2) is
never open to more people. Of several processes that find a dead server's file, only one may replace it. So whoever
takes a path holds a lock on a file beside it, with SUFFIX appended to the name. That file exists only for this short
time.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from .closing import close_descriptors

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
    as it is. `probe`: as in remove_stale(); the file of a dead server is replaced.
    Raises OSError (EADDRINUSE) if there is a file that is no socket, if its socket is open, or if another process is
    just taking the path. After an error there is no new file. A datagram socket can be sent to at once: on Linux its
    file never has more rights than `mode`, elsewhere it has those of the umask for a moment.
    """
    if hasattr(sock, "bind_path"):  # it is none of the kernel's, and its path no file
        other: BoundPath = sock.bind_path(path, mode, owner, begin)
        return other
    with _alone_at(path):
        remove_stale(path, probe)
        if mode is not None:
            with suppress(OSError):  # only on Linux does bind(2) take the rights of the socket
                os.fchmod(sock.fileno(), mode if owner == (-1, -1) else mode & stat.S_IRWXU)
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and (kind := _kind(path)) != "socket":
                error.add_note(f"there is a {kind}, not a socket")
            raise
        bound = BoundPath(path)
        try:
            if owner != (-1, -1):
                os.chown(path, *owner, follow_symlinks=False)
            if mode is not None and stat.S_IMODE(os.lstat(path).st_mode) != mode and bound.is_there():
                _chmod(path, mode)
            begin()
        except BaseException:
            bound.remove()
            raise
        return bound


def _kind(path: Path) -> str:
    """Return what a path leads to, in a word."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "socket"  # it is gone by now
    kinds = {stat.S_IFSOCK: "socket", stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link"}
    return kinds.get(stat.S_IFMT(mode), "file")


def _chmod(path: Path, mode: int) -> None:
    """Set the rights of a file, but not of the target of a symbolic link that may have taken its place."""
    try:
        os.chmod(path, mode, follow_symlinks=False)
    except NotImplementedError:  # musl and old versions of glibc need /proc for this
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            os.chmod(path, mode)


def remove_stale(path: Path, probe: Callable[[], socket.socket]) -> None:
    """Remove the file of a UNIX socket that nobody has open any more: the file of a dead server.

    `probe`: makes a UNIX datagram socket. Only at the file of a dead socket does its connect(2) fail with ECONNREFUSED.
    At a stream socket it fails with EPROTOTYPE, on every system, however full the queue of that socket is, and its
    server notices nothing. A path that leads to anything else stays.
    """
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
    opened: list[int] = []
    try:
        _lock(name, path, opened)
        while True:  # so that the jump back is inside the block
            if _is_at(name, opened[0]):  # otherwise the last holder has removed the file since it was opened
                break
            close_descriptors(opened)
            _lock(name, path, opened)
        try:
            yield
        finally:
            with suppress(OSError):  # somebody has cleaned up
                os.unlink(name)
    finally:
        for fd in opened:
            os.close(fd)


def _lock(name: bytes, path: Path, opened: list[int]) -> None:
    """Open the lock file of a path, and lock it. Its descriptor is in `opened` even if that fails."""
    import fcntl  # no such module on Windows

    _open(name, path, opened)
    if not stat.S_ISREG(os.fstat(opened[0]).st_mode):
        raise OSError(errno.EEXIST, "this should be a lock file", os.fsdecode(name))
    try:
        fcntl.flock(opened[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EADDRINUSE, "another process is about to listen here", path) from None


def _open(name: bytes, path: Path, opened: list[int]) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        opened.extend(map(os.open, [name], [flags], [0o600]))  # in one call: a signal handler that raises loses nothing
    except OSError as error:
        where = os.fsdecode(name) if os.path.lexists(name) else path
        raise OSError(error.errno, error.strerror, where) from None


def _is_at(name: bytes, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(name), os.fstat(fd))
    except OSError:
        return False
