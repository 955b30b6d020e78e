"""connect() and listen() by name, with TLS or without.

How a socket connects or listens is in the room of the sockets, and how TLS begins in starttls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from pollers import Operation, operation

from ..sockets import endpoint
from ..sockets.address import Address, AddressList, Host, Port, SocketAddress
from ..sockets.eyeballs import DELAY_S
from ..sockets.paths import MODE, Owner, PathRules, Unlink
from ..sockets.socket import place_of
from ..sockets.tcp import TCP
from ..streams.transport import AnyByteStream
from .arguments import HANDSHAKE_S, check_context, handshake_limit
from .contexts import default_client_context, protocols
from .layer import TLS
from .starttls import begun, maker

if TYPE_CHECKING:
    import ssl
    from typing import Self


@overload
def connect(
    where: Host,
    port: Port = None,
    *,
    family: str | None = None,
    delay_s: float = DELAY_S,
    tls: Literal[False] | None = None,
    **options: Any,
) -> Operation[TCP]: ...
@overload
def connect(
    where: Host,
    port: Port = None,
    *,
    family: str | None = None,
    delay_s: float = DELAY_S,
    tls: Literal[True] | ssl.SSLContext,
    server_hostname: str | None = None,
    alpn: Iterable[str] = (),
    session: ssl.SSLSession | None = None,
    ragged_end: bool = False,
    handshake_s: float | None = HANDSHAKE_S,
    **options: Any,
) -> Operation[TLS]: ...
def connect(
    where: Host,
    port: Port = None,
    *,
    family: str | None = None,
    delay_s: float = DELAY_S,
    tls: bool | ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    alpn: Iterable[str] = (),
    session: ssl.SSLSession | None = None,
    ragged_end: bool = False,
    handshake_s: float | None = HANDSHAKE_S,
    **options: Any,
) -> Operation[TCP] | Operation[TLS]:
    """Connect a new socket and return it: `sock = yield from connect("example.org:80")`, or `connect(host, port)`.

    `where`: "host:port" with a name or a literal address, or ":80" for this host; "[::1]:80"; a UNIX path, which
    contains a "/" or is a pathlib.Path; "@name" or a leading NUL for an abstract one; or a result of addr(). With a
    `port`, it is the name or address of a host, whatever it contains. `family`: "inet" or "inet6" to use only those
    addresses. `options`: as in setopt(), set before connecting; nodelay defaults to True.

    Several addresses are tried `delay_s` seconds apart, alternating between families, until one connects (RFC 8305). So
    an address that does not answer costs 250 ms. If all fail, the OSError lists each address with its reason. If all
    errors have the same class, it has that class, so `except ConnectionRefusedError` works. A cancellation or timeout
    leaves no socket behind. Raises OSError, socket.gaierror, TimeoutError, TypeError; ValueError if `where` is not a
    valid place.

    `tls`: True, or a context such as client_context() makes, for a TLS connection: then the handshake is made, and a
    TLS object is returned. `server_hostname`: the name that the server's certificate must have, by default the host in
    `where`; a dot at the end is left out. `alpn`: the protocols to offer; a context that you give has its own.
    `session`: the `session` of an earlier connection, to resume it. `ragged_end`: if the peer ends without a
    close_notify, take that for the end of the data. `handshake_s`: the limit for the handshake in seconds, None for no
    limit. Raises as TLS.handshake() does.
    """
    opening = endpoint.connect_from(place_of(sys._getframe(1)), where, port, family, delay_s, options)
    try:
        if tls is None or tls is False:
            handshake_limit(handshake_s)
            if server_hostname is not None or session is not None or alpn:
                raise TypeError("server_hostname, alpn and session need tls=True or a context")
            return opening
        context = _client_context(tls, alpn)
        name = server_hostname if server_hostname is not None else _name_of(where, port)
        return _secured(opening, maker(context, False, name, session, ragged_end, handshake_s))
    except BaseException:
        opening.close()
        raise


def _client_context(tls: bool | ssl.SSLContext, alpn: Iterable[str]) -> ssl.SSLContext:
    offered = protocols(alpn)
    if tls is True:
        return default_client_context(offered)
    check_context(tls, server_side=False)
    assert not isinstance(tls, bool)
    if offered:
        raise ValueError("the protocols belong to the context: use client_context(alpn=...), or tls=True")
    return tls


def _name_of(where: Host, port: Port) -> str | None:
    """Return the host that a certificate must be for, None for a UNIX path."""
    host, _, family = endpoint.split(where, port)
    if isinstance(host, (Address, AddressList)):
        first = host if isinstance(host, Address) else host[0] if host else None
        return None if first is None or first.family == "unix" else first.host
    if family == "unix":
        return None
    if isinstance(host, tuple):
        host = host[0]  # an address in the standard library's form
    if host is None or host is False or host == "":
        return "localhost"
    return os.fsdecode(host) if isinstance(host, (str, bytes)) else None


@operation
def _secured(opening: Operation[TCP], make: Callable[[AnyByteStream], TLS]) -> Generator[Any, None, TLS]:
    sock = yield from opening
    try:
        return (yield from begun(sock, make))
    except BaseException:
        sock.close()
        raise


class TLSListener:
    """A listening socket whose connections use TLS. Made by listen() with a context.

    accept() does not wait for handshakes. The first operation on a connection makes its handshake, so that belongs in
    the connection's thread.
    """

    __slots__ = ("_context", "_handshake_s", "sock")

    def __init__(self, sock: TCP, context: ssl.SSLContext, handshake_s: float | None) -> None:
        self.sock = sock
        """The TCP or UNIX socket that listens, for its options."""
        self._context = context
        self._handshake_s = handshake_s

    def accept(self) -> Operation[TLS]:
        """Wait for the next connection and return it, before its handshake. As TCP.accept()."""
        return self.sock.limit_read(self._accept(place_of(sys._getframe(1))))

    @operation
    def _accept(self, made_at: str) -> Generator[Any, None, TLS]:
        conn = yield from self.sock.accept_untimed(made_at)
        try:
            return TLS(conn, self._context, server_side=True, handshake_s=self._handshake_s)
        except BaseException:
            conn.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the listener was closed."""
        return self.sock.closed

    def fileno(self) -> int:
        """Return the descriptor, -1 if the listener is closed."""
        return self.sock.fileno()

    def getsockname(self) -> Any:
        """Return the local address, as Socket.getsockname() does."""
        return self.sock.getsockname()

    @property
    def local_address(self) -> SocketAddress:
        """The local address, as getsockname() returns it."""
        return self.sock.local_address

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        """Limit accept() to `seconds`, as Socket.settimeout() does."""
        self.sock.settimeout(seconds, direction)

    def close(self) -> None:
        """Close the listener. Its connections stay. A second close does nothing."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TLSListener over {self.sock!r}>"


@overload
def listen(
    where: Host,
    port: Port = None,
    backlog: int | None = None,
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    tls: None = None,
    **options: Any,
) -> TCP: ...
@overload
def listen(
    where: Host,
    port: Port = None,
    backlog: int | None = None,
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    tls: ssl.SSLContext,
    handshake_s: float | None = HANDSHAKE_S,
    **options: Any,
) -> TLSListener: ...
def listen(
    where: Host,
    port: Port = None,
    backlog: int | None = None,
    *,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    tls: ssl.SSLContext | None = None,
    handshake_s: float | None = HANDSHAKE_S,
    **options: Any,
) -> TCP | TLSListener:
    """Return a new socket that listens: `with listen("127.0.0.1:8000") as listener:`. listen(2).

    `where`: as in connect(), except that None, "*" or no host (":8000") means every IPv4 interface. "[::]:8000" means
    every IPv6 interface, or both families with v6only=False. Port 0 takes any free port. `backlog` and errors: as in
    TCP.listen(). `options`: as in setopt(), set before binding; nodelay defaults to True, and accepted connections
    inherit it.

    For a UNIX path only, not for an abstract name: `mode`: the rights of the file, by default 0o600: only the same user
    can connect. None: what the umask leaves. `owner`: a user (number or name), "user:group", ":group", or a tuple of
    user and group. Nobody can connect before both are set. `unlink`: "own": close() removes the file, if the path still
    leads to it and this process has bound it, not one that inherited the socket. "never": the file stays. If there is a
    socket at the path already and nobody has it open, it is taken over. A live server, any other file, or a process
    that is just taking the path raises OSError (EADDRINUSE). Raises LookupError if there is no such user or group.

    `tls`: a context such as server_context() makes. Then a TLSListener is returned, and accept() returns TLS objects.
    `handshake_s`: the limit for the handshake of each, in seconds; None for no limit. Raises ValueError if the context
    is for clients.
    """
    if tls is not None:
        check_context(tls, server_side=True)
    handshake_limit(handshake_s)
    rules = PathRules(mode, owner, unlink)
    sock = endpoint.listen_from(place_of(sys._getframe(1)), where, port, backlog, rules, options)
    return sock if tls is None else TLSListener(sock, tls, handshake_s)
