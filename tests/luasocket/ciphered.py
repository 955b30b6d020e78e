"""Both ends of a TLS connection of luasocket, for its tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import socket2
from socket2 import luasocket
from socket2.luasocket import ssl

from ..tls.certificates import Authority


def params(authority: Authority, **more: Any) -> dict[str, Any]:
    return {"mode": "client", "protocol": "any", "verify": "peer", "cafile": authority.file, **more}


def serving(authority: Authority, **more: Any) -> dict[str, Any]:
    return {"mode": "server", "protocol": "any", "certificate": authority.ours, "key": authority.ours, **more}


@contextmanager
def both(authority: Authority, small: bool = False, **more: Any) -> Iterator[tuple[ssl.Connection, ssl.Connection]]:
    """Return a client and a server before the handshake. `small`: the sockets between them take little."""
    made = []
    for sock, cfg in zip(socket.socketpair(), (params(authority), serving(authority, **more)), strict=True):
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        under = luasocket.unix()
        under.setfd(sock.detach())
        one, err = ssl.wrap(under, cfg)
        assert one is not None, err
        made.append(one)
    with made[0], made[1]:
        yield made[0], made[1]


async def shaken(client: ssl.Connection, server: ssl.Connection) -> None:
    shaking = socket2.newthread(client.dohandshake())
    assert await server.dohandshake() == (True, None)
    assert await shaking.join() == (True, None)
