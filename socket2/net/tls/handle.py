"""TLS in the form in which the two sides of a socket know their connection. It knows the layer below, and no events."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any

from pollers import Operation, operation

from ...tls.layer import TLS


class SecureHandle:
    """A TLS connection that behaves like a handle of a poller."""

    __slots__ = ("tls",)

    def __init__(self, tls: TLS) -> None:
        self.tls = tls

    def recv(self, n: int, _: object) -> Operation[bytes]:
        return self.tls.recv(n)

    def recv_into(self, buffer: Any, n: int, _: object) -> Operation[int]:
        return self.tls.recv_into(buffer, n or None)

    @operation
    def send(self, data: Any, _: object) -> Generator[Any, None, int]:
        yield from self.tls.sendall(data)
        return len(data)

    def told(self, error: OSError) -> OSError:
        return error


@operation
def end(tls: TLS) -> Generator[Any, None, None]:
    """Send a close_notify and the end of the connection below, when everything before them has left."""
    below: Any = tls
    while isinstance(below, TLS):
        yield from below.end(wait=True)
        below = below.sock
    below.shutdown(socket.SHUT_WR)
