"""Helpers for evented sockets with TLS: servers, clients, and pairs of them."""

from __future__ import annotations

from typing import Any

from socket2.net import Socket, tls
from socket2.net.tls import Server, TLSSocket

from ...tls.certificates import Authority
from ..scene import started


def server_of(authority: Authority, listener: Any = None, **options: Any) -> Server:
    return tls.createServer({"cert": authority.ours, **options}, listener)


def client_of(authority: Authority, port: int, **options: Any) -> TLSSocket:
    return tls.connect(port, "127.0.0.1", {"ca": authority.file, "servername": "localhost", **options})


async def pair(authority: Authority, server: Any = None, **client: Any) -> tuple[TLSSocket, Socket]:
    """Return a client and the server's socket for it, after the handshake. The server is closed."""
    with server_of(authority, **(server or {})) as listener:
        dialed = client_of(authority, await started(listener), **client)
        conn = await listener.accept()
        if dialed.secureConnecting:
            await dialed.wait("secureConnect")
        return dialed, conn
