"""TCP objects: how they are made, bound and connected. `bytestream` has the rest."""

from __future__ import annotations

import errno
import sys
from collections.abc import Generator
from typing import Any

from pollers import Busy, Operation, operation

from ..sockets.address import Address
from ..sockets.socket import make, place_of, sockaddr_of
from ..sockets.tcp import TCP as Connection
from . import options
from .bytestream import StreamObject
from .calls import call
from .lookup import Asked, look_up, queries
from .messages import Message, message_of
from .objects import Done, Named

_GOES_ON = {errno.EALREADY, errno.EINPROGRESS}


class TCP(Named, StreamObject):
    """A TCP object. Made by tcp(), tcp4() and tcp6(), and by accept() of another one."""

    __slots__ = ("_bound", "_failed", "_under_way")

    _kind = "tcp"
    _settable = options.settable("tcp")
    _gettable = options.gettable("tcp")

    def __init__(self, family: str | None, cls: str, made_at: str) -> None:
        super().__init__(family, cls, made_at)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Reset the state: the system's socket is a new one."""
        self._bound: Any = None  # its own address, if one was given
        self._under_way: Any = None  # the address of the attempt to connect in progress
        self._failed = False  # whether the last attempt failed

    def _make(self, family: str, fileno: int | None = None) -> Connection:
        made = Connection(make(family, "tcp", None, fileno), None, self._made_at)
        if fileno is None:
            made.setopt("nodelay", False)  # Lua's default; otherwise socket2 sets it
        return made

    def getpeername(self) -> tuple[str | None, int | Message | None, str | None]:
        """Return (ip, port, family) of the peer, with "inet" or "inet6"; or (None, err, None)."""
        return self._name("getpeername")

    def _asked(self, address: str, port: int | str) -> Asked:
        return queries(address, port, "tcp", None if self._any else self._family)

    def setfd(self, fd: int) -> None:
        super().setfd(fd)
        self._begin_anew()

    # Binding.

    def bind(self, address: str, port: int | str) -> Operation[Done]:
        """Bind to an address: a name, a literal address, or "*" for any interface. Return (1, None) or (None, err).

        `port`: a number, 0 for any free port, or a service name. An object without a family gets that of the address.
        Raises TypeError if the address is not a string or the object is not a master.
        """
        self._need("bind", "master")
        return self._bind(self._asked(address, port))

    @call
    def _bind(self, asked: Asked) -> Generator[Any, None, Done]:
        err = None
        try:
            for address in (yield from self._timeouts.begin().limit_first(look_up(asked))):
                try:
                    return self._bind_to(address)
                except OSError as error:
                    err = message_of(error)
        except OSError as error:
            err = message_of(error)
        return None, err

    def _bind_to(self, address: Address) -> Done:
        made = self._sock is None
        sock = self._open(address.family)
        try:
            sock.std.bind(sockaddr_of(sock, address))
        except OSError:
            if made:
                self._drop()
            raise
        self._bound = sock.getsockname()
        self._any = False
        return 1, None

    def setsockname(self, address: str, port: int | str) -> Operation[Done]:
        """Another name for bind()."""
        return self.bind(address, port)

    # Connecting.

    def connect(self, address: str, port: int | str) -> Operation[Done]:
        """Connect to an address, or to each address of a name in turn. The object becomes a client in any case.

        Return (1, None), or (None, err) of the last attempt. The block timeout applies to each address, the total
        timeout to all; both apply to the lookup. With a timeout of 0, the lookup still takes its time, and one attempt
        is started. The result is 'timeout', and the attempt continues: select() tells when it ends, getoption("error")
        with what result. Until then, another connect() returns 'Operation already in progress'. After a cancellation
        the attempt continues as well, until close(). Raises TypeError if the address is not a string.
        """
        asked = self._asked(address, port)
        if self._class == "master":
            self._class = "client"
        return self._connect(asked)

    @call
    def _connect(self, asked: Asked) -> Generator[Any, None, Done]:
        if self._under_way is not None:
            return self._ask_again(self._under_way)
        waits = self._timeouts.begin()
        err = None
        try:
            for address in (yield from waits.limit_first(look_up(asked))):
                try:
                    yield from waits.limit(self._connect_to(address))
                except OSError as error:
                    err = message_of(error)
                    if waits.none and self._under_way is not None:
                        break
                else:
                    return 1, None
        except OSError as error:
            err = message_of(error)
        return None, err

    @operation
    def _connect_to(self, address: Address) -> Generator[Any, None, None]:
        sock = self._fresh(address.family)
        self._under_way = address.sockaddr
        try:
            yield from sock.connect_to(address)
        except OSError as error:
            self._under_way = None
            self._failed = not isinstance(error, Busy) and error.errno != errno.EISCONN
            raise
        self._connected()

    def _connected(self) -> None:
        self._under_way = None
        self._any = False

    def _fresh(self, family: str) -> Connection:
        """Return a socket for the next attempt: POSIX leaves the state after a failed attempt unspecified."""
        if self._sock is not None and (self._failed or self._under_way is not None or self._sock.family != family):
            if self._bound is not None and self._family != family:
                raise OSError(errno.EAFNOSUPPORT, "")
            self._drop()
        made = self._sock is None
        self._failed = False
        self._under_way = None
        sock = self._open(family)
        if made and self._bound is not None:
            sock.std.bind(self._bound)
        return sock

    def _ask_again(self, sockaddr: Any) -> Done:
        """Return the state of the attempt in progress: the kernel reports it if asked to connect once more."""
        try:
            number = self._opened.std.connect_ex(sockaddr)
        except OSError as error:
            return None, message_of(error)
        if number in _GOES_ON:
            return None, message_of(OSError(errno.EALREADY, ""))
        self._connected()
        if number == 0:
            return 1, None
        self._failed = number != errno.EISCONN
        return None, message_of(OSError(number, ""))

    def setpeername(self, address: str, port: int | str) -> Operation[Done]:
        """Another name for connect()."""
        return self.connect(address, port)


def tcp() -> TCP:
    """Make a TCP object, a master. Its family is that of the first address that it is bound or connected to."""
    return TCP(None, "master", place_of(sys._getframe(1)))


def tcp4() -> TCP:
    """Make a TCP object for IPv4 addresses, and its descriptor.

    If no descriptor is available, getfd() is -1. The first call that needs one then makes it, and reports the error.
    """
    return TCP("inet", "master", place_of(sys._getframe(1)))._with_descriptor()


def tcp6() -> TCP:
    """Make a TCP object for IPv6 addresses only: it has the option "ipv6-v6only". Otherwise as tcp4()."""
    return TCP("inet6", "master", place_of(sys._getframe(1)))._with_descriptor()
