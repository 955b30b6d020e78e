"""TLS in the form in which the two sides of a socket know their connection. It knows the layer below, and no events."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any

from pollers import NOSIGNAL, Handle, Operation, operation

from ...sockets.tcp import TCP
from ...tls.layer import TLS

_RECORD = 1 << 14


class SecureHandle:
    """A TLS connection that behaves like a handle of a poller."""

    __slots__ = ("_kernel", "tls")

    def __init__(self, tls: TLS) -> None:
        self.tls = tls
        self._kernel: Handle | None = tls.sock.handle if isinstance(tls.sock, TCP) else None

    def recv(self, n: int, _: object) -> Operation[bytes]:
        return self.tls.recv(n)

    def recv_into(self, buffer: Any, n: int, _: object) -> Operation[int]:
        return self.tls.recv_into(buffer, n or None)

    @operation
    def send(self, data: Any, _: object) -> Generator[Any, None, int]:
        yield from self.tls.sendall(data)
        return len(data)

    def send_now(self, data: bytes) -> int:
        """Send a record without a wait. Return how much ciphertext is left. Raises BlockingIOError if it sends none."""
        kernel = self._kernel
        if kernel is None or not 0 < len(data) <= _RECORD:
            raise BlockingIOError
        try:
            left = self.tls.send_now(data, functools.partial(_send, kernel.sock.send))
        except ssl.SSLError:
            raise
        except OSError as error:
            raise kernel.told(error) or error from None
        if left is None:
            raise BlockingIOError
        return left

    def told(self, error: OSError) -> OSError:
        return error


def _send(send: Callable[[bytes, int], int], data: bytes) -> int:
    return send(data, NOSIGNAL)


@operation
def end(tls: TLS) -> Generator[Any, None, None]:
    """Send a close_notify and the end of the connection below, when everything before them has left."""
    below: Any = tls
    while isinstance(below, TLS):
        yield from below.end(wait=True)
        below = below.sock
    below.shutdown(socket.SHUT_WR)
