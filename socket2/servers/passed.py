"""Sockets that a service manager has passed to this process, by systemd's protocol: sd_listen_fds(3).

LISTEN_PID names the process, LISTEN_FDS counts the descriptors from 3 on, and LISTEN_FDNAMES has their names.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from ..sockets.socket import place_of
from ..sockets.tcp import TCP, tcp
from ..sockets.udp import UDP
from ..threads.scheduler import current_scheduler

if TYPE_CHECKING:
    from typing import Self

SocketT = TypeVar("SocketT", TCP, UDP)

_START = 3

_NAMELESS = "unknown"


class InheritedSockets:
    """The sockets that inherited_sockets() has found. Take those that you want; close() closes the others.

    Each socket is taken once. `name`: only those with this name in the service manager: FileDescriptorName= in a unit
    of systemd, by default the name of the unit. `address`: only those that are bound there, in the standard library's
    form: (host, port), (host, port, flow, scope), a UNIX path.
    """

    def __init__(self, socks: list[tuple[str, TCP | UDP]]) -> None:
        self._socks = socks

    @property
    def names(self) -> list[str]:
        """The names of the sockets that nobody has taken, in the service manager's order."""
        return [name for name, _ in self._socks]

    def listeners(self, name: str | None = None, *, address: Any = None) -> list[TCP]:
        """Return the sockets that listen, for serve(listeners=...). They are yours from now on."""
        return self._take(TCP, name, address, True)

    def connections(self, name: str | None = None, *, address: Any = None) -> list[TCP]:
        """Return the stream sockets that do not listen. With Accept=yes, systemd passes one connection."""
        return self._take(TCP, name, address, False)

    def datagrams(self, name: str | None = None, *, address: Any = None) -> list[UDP]:
        """Return the datagram sockets, UDP and UNIX. They are yours from now on."""
        return self._take(UDP, name, address, False)

    def _take(self, kind: type[SocketT], name: str | None, address: Any, listens: bool) -> list[SocketT]:
        taken: list[SocketT] = []
        left = []
        for known, sock in self._socks:
            if (
                isinstance(sock, kind)
                and name in (None, known)
                and (address is None or sock.getsockname() == address)
                and _listens(sock) == listens
            ):
                taken.append(sock)
            else:
                left.append((known, sock))
        self._socks = left
        return taken

    def close(self) -> None:
        """Close the sockets that nobody has taken. A second call does nothing."""
        socks, self._socks = self._socks, []
        for _, sock in socks:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<InheritedSockets, not taken: {', '.join(f'{name} {sock!r}' for name, sock in self._socks) or 'none'}>"


def _listens(sock: TCP | UDP) -> bool:
    return isinstance(sock, TCP) and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def inherited_sockets() -> InheritedSockets:
    """Take over the sockets that a service manager passed to this process: listeners, UDP sockets, connections.

    This is systemd's protocol (sd_listen_fds(3)). The variables are removed from the environment, so a second call
    finds none. Raises ValueError or OSError if a descriptor is neither a stream nor a datagram socket; then those
    before it are closed.
    """
    made_at = place_of(sys._getframe(1))
    found = InheritedSockets([])
    try:
        for fd, name in _passed():
            found._socks.append((name, _adopted(fd, name, made_at)))
    except BaseException:
        found.close()
        raise
    return found


def _adopted(fd: int, name: str, made_at: str) -> TCP | UDP:
    try:
        sock = current_scheduler().poller.adopt(fd)
    except OSError as error:
        error.add_note(f"descriptor {fd} ({name}), passed in LISTEN_FDS, is not a socket")
        raise
    if sock.type == socket.SOCK_STREAM:
        return TCP(sock, None, made_at)
    if sock.type == socket.SOCK_DGRAM:
        return UDP(sock, made_at)
    sock.detach()
    raise ValueError(f"descriptor {fd} ({name}), passed in LISTEN_FDS, is neither a stream nor a datagram socket")


def inherited_listeners() -> list[TCP]:
    """Take over the listening sockets that a service manager passed to this process; [] if there are none.

    As inherited_sockets(), but for a process that expects nothing else. Raises ValueError if a descriptor is not a
    listening stream socket.
    """
    listeners: list[TCP] = []
    try:
        for fd, _ in _passed():
            listeners.append(tcp(fileno=fd))
            if _listens(listeners[-1]):
                continue  # see threads/lock.py
            raise ValueError(f"descriptor {fd}, passed in LISTEN_FDS, is not listening: see inherited_sockets()")
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _passed() -> list[tuple[int, str]]:
    """Return the descriptors that were passed, and their names. Each is inherited by no further program."""
    count, names = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()) or not count.isdecimal():
        return []
    passed = []
    for at in range(int(count)):
        os.set_inheritable(_START + at, False)
        passed.append((_START + at, names[at] if at < len(names) and names[at] else _NAMELESS))
    return passed
