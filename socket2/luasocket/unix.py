"""UNIX objects for streams and datagrams. They work as TCP and UDP objects do, but their addresses are paths."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pollers import Operation

from ..sockets.address import Address, Query
from ..sockets.socket import make, place_of
from ..sockets.tcp import TCP as Connection
from ..sockets.udp import UDP as Datagrams
from . import options
from .bytestream import StreamObject
from .calls import call
from .datagrams import DatagramObject, Sent, size_of
from .messages import Message, message_of, system_message
from .objects import Done, Object

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Path = tuple[str | None, Message | None]
"""(path, None) or (None, err)."""


class _AtPath(Object[Any]):
    """An object whose addresses are paths. On Linux, a path with a leading NUL is abstract: not a file."""

    __slots__ = ()

    _settable = options.settable("unix")
    _gettable = options.gettable("unix")
    _then = ""

    def bind(self, path: str) -> Operation[Done]:
        """Bind to a path, which stays until it is unlinked. Return (1, None) or (None, err)."""
        self._need("bind", "master", "unconnected")
        return self._bind(address_of(path))

    @call
    def _bind(self, address: Address) -> Generator[Any, None, Done]:
        try:
            self._open("unix").std.bind(address.sockaddr)
        except OSError as error:
            return None, path_message(error)
        return 1, None
        yield

    def connect(self, path: str) -> Operation[Done]:
        """Connect to a path. Return (1, None), or (None, err) with 'connection refused', 'timeout' or another error.

        Waits while the listener's queue is full. A cancellation or timeout leaves the object as it was.
        """
        address = address_of(path)
        if self._class == "master":
            self._class = "client"
        return self._connect(address)

    @call
    def _connect(self, address: Address) -> Generator[Any, None, Done]:
        try:
            sock = self._open("unix")
            yield from self._timeouts.begin().limit(sock.connect(address))
        except OSError as error:
            return None, path_message(error)
        self._class = self._then
        return 1, None

    def setsockname(self, path: str) -> Operation[Done]:
        """Another name for bind()."""
        return self.bind(path)

    def setpeername(self, path: str) -> Operation[Done]:
        """Another name for connect()."""
        return self.connect(path)

    def getsockname(self) -> Path:
        """Return (path, None), with "" if the object is not bound; or (None, err)."""
        return self._path("getsockname")

    def getpeername(self) -> Path:
        """Return (path, None) of the peer, or (None, err)."""
        return self._path("getpeername")

    def _path(self, which: str) -> Path:
        try:
            return path_of(getattr(self._open("unix"), which)()), None
        except OSError as error:
            return None, system_message(error)


class UnixStream(_AtPath, StreamObject):
    """A UNIX stream object. Made by unix.stream(), and by accept() of another one."""

    __slots__ = ()

    _kind = "unixstream"
    _then = "client"

    def _make(self, family: str, fileno: int | None = None) -> Connection:
        return Connection(make("unix", "tcp", None, fileno), None, self._made_at)


class UnixDgram(_AtPath, DatagramObject):
    """A UNIX datagram object. Made by unix.dgram()."""

    __slots__ = ()

    _kind = "unixdgram"
    _then = "connected"

    def _make(self, family: str, fileno: int | None = None) -> Datagrams:
        return Datagrams(make("unix", "udp", None, fileno), self._made_at)

    def sendto(self, data: ReadableBuffer, path: str) -> Operation[Sent]:
        """Send a datagram to a path; return (its length, None) or (None, err).

        Waits while the receiver's queue is full. A cancellation sends nothing. Raises TypeError if `data` is a str or
        the object is connected.
        """
        self._need("sendto", "unconnected")
        return self._sendto(bytes(memoryview(data)), address_of(path))

    @call
    def _sendto(self, data: bytes, address: Address) -> Generator[Any, None, Sent]:
        try:
            sock = self._open("unix")
            return (yield from self._timeouts.begin().limit(sock.sendto(data, address))), None
        except OSError as error:
            return None, path_message(error)

    def receivefrom(self, size: int | None = None) -> Operation[tuple[bytes | None, str | Message | None]]:
        """Receive a datagram; return (data, path of the sender), with "" if that is not bound; or (None, err).

        Otherwise as receive(). Raises TypeError if the object is connected.
        """
        self._need("receivefrom", "unconnected")
        return self._receivefrom(size_of(size))

    @call
    def _receivefrom(self, size: int) -> Generator[Any, None, tuple[bytes | None, str | Message | None]]:
        try:
            data, address = yield from self._take(size)
        except OSError as error:
            return None, message_of(error)
        return data, path_of(address)


def address_of(path: str) -> Address:
    if not isinstance(path, str):
        raise TypeError(f"an address must be a string, not {path!r}")
    found = Query(path, 0, "stream", "unix", None, ()).at_once()
    assert found is not None
    return found[0]


def path_of(sockaddr: Any) -> str:
    """Return a path as text; "" for None, the address of an unbound sender."""
    return sockaddr.decode(errors="surrogateescape") if isinstance(sockaddr, bytes) else sockaddr or ""


def path_message(error: OSError) -> Message:
    """Return the message of an error. The standard library rejects a long path before the system does."""
    return Message("path too long") if error.errno is None and "too long" in str(error) else message_of(error)


class _Unix:
    """Makes UNIX objects: `unix.stream()`, the same as `unix()`, and `unix.dgram()`."""

    def stream(self) -> UnixStream:
        """Make a UNIX stream object, a master."""
        return UnixStream("unix", "master", place_of(sys._getframe(1)))

    def dgram(self) -> UnixDgram:
        """Make a UNIX datagram object, unconnected."""
        return UnixDgram("unix", "unconnected", place_of(sys._getframe(1)))

    __call__ = tcp = stream
    udp = dgram


unix = _Unix()
