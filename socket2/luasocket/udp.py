"""UDP objects: how they are made, bound and connected, and datagrams to and from any peer."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Operation

from ..sockets.address import Address
from ..sockets.socket import make, place_of, sockaddr_of
from ..sockets.udp import UDP as Datagrams
from . import options
from .calls import call
from .datagrams import DatagramObject, Sent, size_of
from .lookup import Asked, check_place, literal, look_up, queries
from .messages import Message, message_of
from .objects import Done, Named

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class UDP(Named, DatagramObject):
    """A UDP object. Made by udp(), udp4() and udp6()."""

    __slots__ = ()

    _kind = "udp"
    _settable = options.settable("udp")
    _gettable = options.gettable("udp")

    def _make(self, family: str, fileno: int | None = None) -> Datagrams:
        return Datagrams(make(family, "udp", None, fileno), self._made_at)

    def getpeername(self) -> tuple[str | None, int | Message | None, str | None]:
        """Return (ip, port, family) of the peer, or (None, err, None). Raises TypeError if there is no peer."""
        self._need("getpeername", "connected")
        return self._name("getpeername")

    # Its own address and its peer.

    def setsockname(self, address: str, port: int | str) -> Operation[Done]:
        """Bind to an address: a name, a literal address, or "*" for any interface. Return (1, None) or (None, err).

        Raises TypeError if the address is not a string or the object is connected.
        """
        self._need("setsockname", "unconnected")
        return self._first(self._asked(address, port), "bind", "unconnected")

    def setpeername(self, address: str, port: int | str | None = None) -> Operation[Done]:
        """Set the peer, or give it up with "*"; return (1, None) or (None, err).

        send() and receive() then use this peer. Raises TypeError if the address is not a string.
        """
        if address == "*":
            return self._disconnect()
        return self._first(self._asked(address, port), "connect", "connected")

    def _asked(self, address: str, port: int | str | None) -> Asked:
        return queries(address, port, "udp", None if self._any else self._family)

    @call
    def _first(self, asked: Asked, how: str, then: str) -> Generator[Any, None, Done]:
        """Bind or connect to the first address that works. Only the lookup waits."""
        err = None
        try:
            for address in (yield from self._timeouts.begin().limit_first(look_up(asked))):
                try:
                    self._bind_or_connect(how, address)
                except OSError as error:
                    err = message_of(error)
                else:
                    self._class = then
                    return 1, None
        except OSError as error:
            err = message_of(error)
        return None, err

    def _bind_or_connect(self, how: str, address: Address) -> None:
        made = self._sock is None
        sock = self._open(address.family)
        try:
            getattr(sock.std, how)(sockaddr_of(sock, address))
        except OSError:
            if made:
                self._drop()
            raise
        self._any = False

    @call
    def _disconnect(self) -> Generator[Any, None, Done]:
        self._class = "unconnected"
        try:
            if self._sock is not None or self._closed:
                pollers.disconnect(self._opened.std)
        except OSError as error:
            return None, message_of(error)
        return 1, None
        yield

    # To and from any peer.

    def sendto(self, data: ReadableBuffer, ip: str, port: int | str) -> Operation[Sent]:
        """Send a datagram to a literal IP address and a numeric port; return (its length, None) or (None, err).

        A cancellation sends nothing. Raises TypeError if `data` is a str, the address is not a string, or the object is
        connected.
        """
        self._need("sendto", "unconnected")
        check_place(ip, port)
        return self._sendto(bytes(memoryview(data)), ip, port)

    @call
    def _sendto(self, data: bytes, ip: str, port: int | str) -> Generator[Any, None, Sent]:
        try:
            address = literal(ip, port, "udp", None if self._any else self._family)
            sock = self._open(address.family)
            self._any = False
            return (yield from self._timeouts.begin().limit(sock.sendto(data, address.sockaddr))), None
        except OSError as error:
            return None, message_of(error)

    def receivefrom(self, size: int | None = None) -> Operation[tuple[bytes | None, str | Message | None, int | None]]:
        """Receive a datagram; return (data, ip, port), or (None, err, None). Otherwise as receive().

        Raises TypeError if the object is connected.
        """
        self._need("receivefrom", "unconnected")
        return self._receivefrom(size_of(size))

    @call
    def _receivefrom(self, size: int) -> Generator[Any, None, tuple[bytes | None, str | Message | None, int | None]]:
        try:
            data, address = yield from self._take(size)
        except OSError as error:
            return None, message_of(error), None
        return data, address[0], address[1]


def udp() -> UDP:
    """Make a UDP object, unconnected. Its family is that of the first address that it is used with."""
    return UDP(None, "unconnected", place_of(sys._getframe(1)))


def udp4() -> UDP:
    """Make a UDP object for IPv4 addresses, and its descriptor. Otherwise as tcp4()."""
    return UDP("inet", "unconnected", place_of(sys._getframe(1)))._with_descriptor()


def udp6() -> UDP:
    """Make a UDP object for IPv6 addresses only: it has the option "ipv6-v6only". Otherwise as tcp4()."""
    return UDP("inet6", "unconnected", place_of(sys._getframe(1)))._with_descriptor()
