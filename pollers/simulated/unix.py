"""UNIX sockets: their paths and abstract names, credentials, and the descriptors that travel in messages. unix(7).

A path is an entry in the table of its host, not a file. Its directory need not exist, and it has rights that nobody
checks. The streams and the datagrams are in modules of their own.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from typing import Any

from .description import AF_UNIX, MSG_CTRUNC, Description, fail
from .surroundings import Home

SOL_SOCKET = socket.SOL_SOCKET
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
_PASSCRED = (SOL_SOCKET, getattr(socket, "SO_PASSCRED", 16))
_INT = array.array("i").itemsize

PATH_MAX, RIGHTS_MAX = 108, 253

Name = str | bytes


class Paths:
    """The paths and abstract names of a host, and which socket is bound to each; None: it is closed."""

    def __init__(self) -> None:
        self.bound: dict[Name, UnixSocket | None] = {}
        self.modes: dict[Name, int] = {}
        self.umask = 0o022
        self._next = 0

    def bind(self, name: Name, sock: UnixSocket) -> None:
        if name in self.bound:
            fail(errno.EADDRINUSE)
        self.bound[name] = sock
        self.modes[name] = 0o777 & ~self.umask

    def any_name(self) -> bytes:
        """Return a free abstract name, as the kernel chooses one."""
        while True:
            self._next += 1
            name = b"\0%05x" % self._next
            if name not in self.bound:
                return name

    def find(self, name: Name) -> UnixSocket:
        """Return the socket at a path. Raises OSError: ENOENT, ECONNREFUSED."""
        try:
            sock = self.bound[name]
        except KeyError:
            fail(errno.ECONNREFUSED if isinstance(name, bytes) else errno.ENOENT)
        if sock is None or sock.closed:
            fail(errno.ECONNREFUSED)
        return sock

    def left(self, sock: UnixSocket) -> None:
        """A bound socket is closed. An abstract name goes with it, a path stays."""
        if self.bound.get(sock.bound_to) is sock:
            if isinstance(sock.bound_to, bytes):
                del self.bound[sock.bound_to]
            else:
                self.bound[sock.bound_to] = None

    def unlink(self, name: Name) -> None:
        """Remove a path. Raises OSError (ENOENT)."""
        if name not in self.bound:
            fail(errno.ENOENT)
        del self.bound[name]
        self.modes.pop(name, None)


class UnixSocket(Description):
    """What streams and datagram sockets have in common."""

    protocol = "unix"
    family = AF_UNIX
    peer: UnixSocket | None = None

    def __init__(self, host: Home) -> None:
        super().__init__(host)
        self.bound_to: Name = ""
        self.credentials = (0, -1, -1)  # of the peer

    def name(self) -> Any:
        return self.bound_to

    def bind(self, address: Any) -> None:
        name = name_of(address, "bind")
        if self.bound_to:
            fail(errno.EINVAL)
        if not name:
            name = self.host.paths.any_name()
        self.host.paths.bind(name, self)
        self.bound_to = name

    def bind_path(self, path: Name, mode: int | None, begin: Any) -> BoundHere:
        """Do what pollers.bind_path() does, without a file."""
        name, paths = name_of(path, "bind"), self.host.paths
        if name in paths.bound and paths.bound[name] is None:
            paths.unlink(name)
        self.bind(path)
        if mode is not None:
            paths.modes[name] = mode
        bound = BoundHere(self, name)
        try:
            begin()
        except BaseException:
            bound.remove()
            raise
        return bound

    def own_credentials(self) -> tuple[int, int, int]:
        return self.host.pid, self.host.uid, self.host.gid

    def close(self) -> None:
        if self.bound_to:
            self.host.paths.left(self)

    def describe(self) -> str:
        name = self.bound_to or (self.peer.bound_to if self.peer is not None else "")
        return f"unix {name!r}" if name else "unix"


class BoundHere:
    """The path of a bound socket. See pollers.BoundPath."""

    def __init__(self, sock: UnixSocket, name: Name) -> None:
        self._sock = sock
        self._name = name

    def is_there(self) -> bool:
        return self._sock.host.paths.bound.get(self._name) is self._sock

    def remove(self) -> None:
        if self.is_there():
            self._sock.host.paths.unlink(self._name)


def name_of(address: Any, call: str) -> Name:
    """Return a path as text, an abstract name as bytes. Raises TypeError, OSError as the socket module does."""
    if isinstance(address, os.PathLike):
        address = os.fspath(address)
    if isinstance(address, str):
        octets = os.fsencode(address)
    elif isinstance(address, (bytes, bytearray, memoryview)):
        octets = bytes(address)
    else:
        raise TypeError(f"{call}: AF_UNIX address must be str or bytes-like, not {type(address).__name__}")
    if octets[:1] == b"\0":
        if len(octets) > PATH_MAX:
            raise OSError("AF_UNIX path too long")
        return octets
    if len(octets) >= PATH_MAX:
        raise OSError("AF_UNIX path too long")
    if b"\0" in octets:
        raise ValueError("embedded null byte")
    return os.fsdecode(octets)


class Carried:
    """The descriptors and credentials of a message."""

    __slots__ = ("credentials", "rights")

    def __init__(self, rights: list[Description], credentials: tuple[int, int, int]) -> None:
        self.rights = rights
        self.credentials = credentials
        for description in rights:
            description.references += 1

    def drop(self) -> None:
        """Close what nobody has received."""
        rights, self.rights = self.rights, []
        for description in rights:
            description.release()


def carried_by(sock: UnixSocket, control: Any) -> Carried:
    """Return what control data carries. Raises OSError: EBADF, EINVAL, EPERM."""
    rights: list[Description] = []
    credentials = sock.own_credentials()
    for level, kind, data in control or ():
        if level != SOL_SOCKET:
            continue
        if kind == SCM_RIGHTS:
            if len(data) % _INT:
                data = data[: len(data) - len(data) % _INT]
            fds = array.array("i", data)
            if len(rights) + len(fds) > RIGHTS_MAX:
                fail(errno.EINVAL)
            rights += [sock.host.get(fd) for fd in fds]
        elif kind == SCM_CREDENTIALS:
            if len(data) != 12:
                fail(errno.EINVAL)
            credentials = struct.unpack("iii", data)
            if sock.host.uid and credentials != sock.own_credentials():
                fail(errno.EPERM)
        else:
            fail(errno.EINVAL)
    return Carried(rights, credentials)


def unpack(
    sock: UnixSocket, carried: Carried | None, room: int, peek: bool
) -> tuple[list[tuple[int, int, bytes]], int]:
    """Return the control data of a message for its receiver, and MSG_CTRUNC if there was no room for all of it."""
    made: list[tuple[int, int, bytes]] = []
    cut = 0
    if sock.options.get(_PASSCRED):
        if room < 16:
            cut = MSG_CTRUNC
        else:
            shown = carried.credentials if carried is not None else (0, 65534, 65534)
            made.append((SOL_SOCKET, SCM_CREDENTIALS, struct.pack("iii", *shown)[: room - 16]))
            room -= 32
    if carried is None or not carried.rights:
        return made, cut
    most = max((room - 16) // _INT, 0)
    fds = array.array("i")
    for description in carried.rights[:most]:
        try:
            fds.append(sock.host.add(description))
        except OSError:
            cut = MSG_CTRUNC
            break
    if len(fds) < len(carried.rights):
        cut = MSG_CTRUNC
    if not peek:
        carried.drop()
    if fds:
        made.append((SOL_SOCKET, SCM_RIGHTS, fds.tobytes()))
    return made, cut
