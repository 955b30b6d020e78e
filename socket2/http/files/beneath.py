"""Opening files below a directory without ever leaving it, also if someone replaces directories by links meanwhile.

Each step opens a directory from the one before, and never through a link: what links say is walked like the path
itself. Systems that cannot open from a directory resolve the path first, and open then; between the two someone who
can write there could exchange a part of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from itertools import islice
from typing import IO, TYPE_CHECKING, Protocol

from ..serving.representation import open_regular

if TYPE_CHECKING:
    from typing import Self

_LINKS_MAX = 40
_DIRECTORY = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_CLOEXEC", "O_NONBLOCK"))
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class Outside(OSError):
    """A link leads out of the directory."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.EACCES, "the link leads out of the directory", name)


class Beneath(Protocol):
    """A walk that begins at a directory. Each of its methods waits for the disk: use it in an OS thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def go(self, names: Iterable[str]) -> IO[bytes] | None:
        """Go on to what `names` mean. Return the open file; None if it is a directory, in which the walk stands then.

        Raises OSError: Outside; io.UnsupportedOperation if it is something else.
        """

    def entries(self, limit: int) -> list[tuple[str, bool]]:
        """Return up to `limit` names in the directory, with whether each is a directory. Raises OSError.

        What go() would not go to is not among them.
        """


class ByDescriptor:
    """A walk from descriptor to descriptor."""

    def __init__(self, root: str, follow: bool, path: Iterable[int] = ()) -> None:
        """`follow`: whether links may lead anywhere. `path`: where another walk stands, to begin there."""
        self._root = root
        self._follow = follow
        self._links = 0
        self._path: list[int] = []  # of each directory from the root on
        try:
            for fd in path:
                self._path.append(os.dup(fd))
            if not self._path:
                self._path.append(os.open(root, _DIRECTORY))
        except BaseException:
            self._back_to(0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._back_to(0)

    def _back_to(self, depth: int) -> None:
        while len(self._path) > depth:
            os.close(self._path.pop())

    def go(self, names: Iterable[str]) -> IO[bytes] | None:
        path = self._path
        ahead = list(names)[::-1]
        while ahead:
            name = ahead.pop()
            if name == "..":  # a link has said so
                if len(path) == 1:
                    raise Outside(name)
                self._back_to(len(path) - 1)
                continue
            here = path[-1]
            mode = os.stat(name, dir_fd=here, follow_symlinks=self._follow).st_mode
            if stat.S_ISLNK(mode):
                ahead += self._said_by(name, os.readlink(name, dir_fd=here))[::-1]
            elif stat.S_ISDIR(mode):
                path.append(os.open(name, _DIRECTORY | (0 if self._follow else _NOFOLLOW), dir_fd=here))
            elif ahead:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            else:
                return open_regular(name, 0 if self._follow else _NOFOLLOW, here)
        return None

    def _said_by(self, name: str, target: str) -> list[str]:
        """Return the steps that a link means from here on."""
        self._links += 1
        if self._links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        steps = [step for step in target.split("/") if step not in ("", ".")]
        if target.startswith("/"):
            root = [step for step in os.path.realpath(self._root).split("/") if step]
            if steps[: len(root)] != root:
                raise Outside(name)
            self._back_to(1)
            del steps[: len(root)]
        return steps

    def entries(self, limit: int) -> list[tuple[str, bool]]:
        with os.scandir(self._path[-1]) as found:
            kinds = [(entry.name, self._is_directory(entry)) for entry in islice(found, limit)]
        return [(name, kind) for name, kind in kinds if kind is not None]

    def _is_directory(self, entry: os.DirEntry[str]) -> bool | None:
        """Whether it is a directory; None if it is neither that nor a file below the root."""
        if self._follow or not entry.is_symlink():
            return _kind_of(entry)
        try:
            with ByDescriptor(self._root, False, self._path) as other:
                file = other.go([entry.name])
        except OSError:
            return None
        if file is not None:
            file.close()
        return file is None


class ByPath:
    """A walk for systems that cannot open from a directory."""

    def __init__(self, root: str, follow: bool) -> None:
        self._root = os.path.realpath(root)
        self._follow = follow
        self._at = self._root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def go(self, names: Iterable[str]) -> IO[bytes] | None:
        path = os.path.realpath(os.path.join(self._at, *names), strict=True)
        if not self._follow and not _is_below(path, self._root):
            raise Outside(path)
        if not stat.S_ISDIR(os.stat(path).st_mode):
            return open_regular(path)
        self._at = path
        return None

    def entries(self, limit: int) -> list[tuple[str, bool]]:
        with os.scandir(self._at) as found:
            kinds = [(entry.name, self._is_directory(entry)) for entry in islice(found, limit)]
        return [(name, kind) for name, kind in kinds if kind is not None]

    def _is_directory(self, entry: os.DirEntry[str]) -> bool | None:
        is_here = self._follow or not entry.is_symlink() or _is_below(os.path.realpath(entry.path), self._root)
        return _kind_of(entry) if is_here else None


def _is_below(path: str, root: str) -> bool:
    try:
        return os.path.commonpath([path, root]) == root
    except ValueError:  # another drive
        return False


def _kind_of(entry: os.DirEntry[str]) -> bool | None:
    try:
        return True if entry.is_dir() else False if entry.is_file() else None
    except OSError:
        return None


def beneath(root: str, follow: bool) -> Beneath:
    """Begin a walk at a directory. `follow`: whether links may lead out of it. Raises OSError."""
    can_walk = {os.open, os.stat, os.readlink} <= os.supports_dir_fd and os.scandir in os.supports_fd and _NOFOLLOW
    return ByDescriptor(root, follow) if can_walk else ByPath(root, follow)
