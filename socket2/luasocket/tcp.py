"""TCP objects: how they are made, bound and connected. What they do then is in `bytestream`."""

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
    """A TCP object. Made by tcp(), tcp4(), tcp6(), and by accept() of another one."""

    __slots__ = ("_bound", "_failed", "_under_way")

    _kind = "tcp"
    _settable = options.settable("tcp")
    _gettable = options.gettable("tcp")

    def __init__(self, family: str | None, cls: str, made_at: str) -> None:
        super().__init__(family, cls, made_at)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """The system's socket is new to us."""
        self._bound: Any = None  # its own address, if it was told one
        self._under_way: Any = None  # the address of an attempt to connect that goes on
        self._failed = False  # the last attempt

    def _make(self, family: str, fileno: int | None = None) -> Connection:
        made = Connection(make(family, "tcp", None, fileno), None, self._made_at)
        if fileno is None:
            made.setopt("nodelay", False)  # as Lua has it; else it is ours to set
        return made

    def getpeername(self) -> tuple[str | None, int | Message | None, str | None]:
        """Return (ip, port, family) of the peer: "inet" or "inet6"; or (None, err, None)."""
        return self._name("getpeername")

    def _asked(self, address: str, port: int | str) -> Asked:
        return queries(address, port, "tcp", None if self._any else self._family)

    def setfd(self, fd: int) -> None:
        super().setfd(fd)
        self._begin_anew()

    # Binding.

    def bind(self, address: str, port: int | str) -> Operation[Done]:
        """Bind to an address: a name, a literal one, "*" for any interface. Return (1, None), or (None, err).

        `port`: a number, 0 for a free one, or a service's name. An object of no family gets that of the address.
        TypeError when the address is no string or the object no master.
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
        """bind() by its other name."""
        return self.bind(address, port)

    # Connecting.

    def connect(self, address: str, port: int | str) -> Operation[Done]:
        """Connect to an address, of a name's to each in turn; the object becomes a client, however that ends.

        Return (1, None), or (None, err) of the last one that was tried. The block timeout is for each address, the
        total one for all, and both are for the look-up, too. With a timeout of 0 the look-up takes its time and one
        attempt is begun, which is a 'timeout', and goes on: select() tells its end, getoption("error") how it ended;
        another connect() is answered 'Operation already in progress' until then. Cancelled: the attempt goes on as
        well, until close(). TypeError when the address is no string.
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
        """A socket for the next attempt: POSIX leaves open what state one is in whose attempt did not succeed."""
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
        """How the attempt stands that goes on: the kernel tells whom it is asked for again."""
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
        """connect() by its other name."""
        return self.connect(address, port)


def tcp() -> TCP:
    """Make a TCP object, a master, of the family of the first address that it is bound or connected to."""
    return TCP(None, "master", place_of(sys._getframe(1)))


def tcp4() -> TCP:
    """Make a TCP object for IPv4 addresses, and its descriptor.

    Without one to be had, getfd() is -1 and it is made with the first call that needs it, which tells what is wrong.
    """
    return TCP("inet", "master", place_of(sys._getframe(1)))._with_descriptor()


def tcp6() -> TCP:
    """Make a TCP object for IPv6 addresses, and for those only: it has the option "ipv6-v6only". As tcp4()."""
    return TCP("inet6", "master", place_of(sys._getframe(1)))._with_descriptor()
