"""What is below an exchange: a byte stream of any kind, and perhaps a socket."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ...streams.transport import AnyByteStream
from ...threads.coroutines import awaiting
from ..messages.outgoing import Piece


class Awaited:
    """A byte stream of a kind that we do not know: its operations may be coroutines."""

    __slots__ = ("_below",)

    def __init__(self, below: AnyByteStream) -> None:
        self._below = below

    def recv(self, n: int) -> Generator[Any, None, bytes]:
        data: bytes = yield from awaiting(self._below.recv(n))
        return data

    def sendall(self, data: Piece) -> Generator[Any, None, None]:
        yield from awaiting(self._below.sendall(data))


def socket_of(conn: AnyByteStream) -> Any:
    """Return what is below all layers of a connection: usually a socket."""
    below: Any = conn
    while hasattr(below, "sock"):
        below = below.sock
    return below
