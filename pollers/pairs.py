"""Pairs of connected sockets, for every family. socketpair(2) makes only UNIX ones, and Windows has none.

A pair of another family is connected over the loopback interface. Nobody else can get into it.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from socket import socketpair as unix_pair

_DATAGRAM_MAX = 65535

_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def socketpair(family: int, type: int, proto: int, /) -> tuple[socket.socket, socket.socket]:
    """Make two connected sockets. See Poller.socketpair()."""
    here = _LOOPBACK.get(family)  # type: ignore[call-overload]
    if here is None or type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        return unix_pair(family, type, proto)
    return _streams(family, proto, here) if type == socket.SOCK_STREAM else _datagrams(family, proto, here)


def _streams(family: int, proto: int, here: str) -> tuple[socket.socket, socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM, proto) as listener:
        listener.bind((here, 0))
        listener.listen()
        one = socket.socket(family, socket.SOCK_STREAM, proto)
        try:
            one.connect(listener.getsockname())
            while True:
                other, peer = listener.accept()
                if peer == one.getsockname():
                    return one, other
                other.close()  # a stranger was faster
        except BaseException:
            one.close()
            raise


def _datagrams(family: int, proto: int, here: str) -> tuple[socket.socket, socket.socket]:
    pair = [socket.socket(family, socket.SOCK_DGRAM, proto)]
    try:
        pair.append(socket.socket(family, socket.SOCK_DGRAM, proto))
        for sock in pair:
            sock.bind((here, 0))
        for sock, peer in (pair, pair[::-1]):
            sock.connect(peer.getsockname())
        for sock in pair:
            _drain(sock)
    except BaseException:
        for sock in pair:
            sock.close()
        raise
    return pair[0], pair[1]


def _drain(sock: socket.socket) -> None:
    """Remove what strangers have sent before the socket was connected."""
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            with suppress(ConnectionError):
                sock.recv(_DATAGRAM_MAX)
    sock.setblocking(True)
