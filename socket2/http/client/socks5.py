"""SOCKS5, the side of the client: asks a proxy for a connection to a host by its name. RFC 1928, RFC 1929."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator
from typing import Any

from ...sockets.tcp import TCP
from ...threads.coroutines import awaiting
from ...tls.layer import TLS
from .failures import ProxyError

_VERSION = 5
_NO_LOGIN, _LOGIN = 0, 2
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4

_REASONS = {
    1: "it has failed",
    2: "it is not allowed",
    3: "the network is unreachable",
    4: "the host is unreachable",
    5: "the connection is refused",
    6: "the TTL has expired",
    7: "the command is not supported",
    8: "the type of address is not supported",
}


def socks5(sock: TCP | TLS, host: str, port: int, login: tuple[bytes, bytes] | None) -> Generator[Any, None, None]:
    """Ask the proxy behind `sock` to connect. It looks the name up. Raises ProxyError, OSError."""
    methods = bytes([_NO_LOGIN, _LOGIN]) if login else bytes([_NO_LOGIN])
    yield from awaiting(sock.sendall(bytes([_VERSION, len(methods)]) + methods))
    version, method = yield from _exactly(sock, 2)
    if version != _VERSION:
        raise ProxyError("the proxy does not speak SOCKS5")
    if method == _LOGIN and login:
        yield from _log_in(sock, *login)
    elif method != _NO_LOGIN:
        raise ProxyError("the SOCKS5 proxy wants a user name and a password" if not login else "no login is accepted")
    yield from awaiting(sock.sendall(bytes([_VERSION, _CONNECT, 0]) + _address(host) + port.to_bytes(2, "big")))
    version, reply, _, kind = yield from _exactly(sock, 4)
    if version != _VERSION:
        raise ProxyError("the proxy does not speak SOCKS5")
    if reply:
        raise ProxyError(f"the SOCKS5 proxy cannot connect: {_REASONS.get(reply, f'reply {reply}')}")
    if kind == _NAME:
        (size,) = yield from _exactly(sock, 1)
    elif kind in (_IPV4, _IPV6):
        size = 4 if kind == _IPV4 else 16
    else:
        raise ProxyError("the reply of the SOCKS5 proxy is malformed")
    yield from _exactly(sock, size + 2)


def _log_in(sock: TCP | TLS, user: bytes, password: bytes) -> Generator[Any, None, None]:
    if not 0 < len(user) < 256 or len(password) > 255:
        raise ProxyError("the user name or the password is too long for SOCKS5")
    yield from awaiting(sock.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password))
    _, status = yield from _exactly(sock, 2)
    if status:
        raise ProxyError("the SOCKS5 proxy does not accept the user name and password")


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([_NAME, len(name)]) + name
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _exactly(sock: TCP | TLS, size: int) -> Generator[Any, None, bytes]:
    """Receive so many bytes, and no byte of what is behind them."""
    data = b""
    while len(data) < size:
        piece = yield from awaiting(sock.recv(size - len(data)))
        if not piece:
            raise ProxyError("the SOCKS5 proxy has closed the connection")
        data += piece
    return data
