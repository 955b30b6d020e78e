"""Sinks that send on a socket. LTN12: sink(chunk, err) returns (1, None) or (None, err); None is the last chunk."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from pollers import Operation

from .calls import call, outcome
from .messages import Message
from .modes import choose

Pushed = tuple[int | None, Message | None]


class SocketSink:
    """A sink, and something select() takes for its socket. 'keep-open': the socket stays open at the end."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __call__(self, chunk: bytes | None, err: Any = None) -> Operation[Pushed]:
        """Send the chunk. How far a send that failed had come, getstats() of the socket tells."""
        return self._push(chunk)

    @call
    def _push(self, chunk: bytes | None) -> Generator[Any, None, Pushed]:
        data = self._end() if chunk is None else self._piece(chunk)
        if data:
            last, err, *_ = yield from outcome(self._sock.send(data))
            if last is None:
                return None, err
        if chunk is None:
            self._finish()
        return 1, None

    def _piece(self, chunk: bytes) -> bytes:
        return chunk

    def _end(self) -> bytes:
        return b""

    def _finish(self) -> None:
        pass

    def getfd(self) -> int:
        """The socket's descriptor."""
        return int(self._sock.getfd())

    def dirty(self) -> bool:
        """As the socket's dirty()."""
        return bool(self._sock.dirty())


class ClosingSink(SocketSink):
    """'close-when-done': the socket is closed at the end."""

    def _finish(self) -> None:
        self._sock.close()


class ChunkedSink(SocketSink):
    """'http-chunked': HTTP's chunked transfer coding. `close`: whether to close the socket at the end.

    An empty chunk is skipped, since there it would mean the end. RFC 9112, 7.1.
    """

    def __init__(self, sock: Any, close: bool = False) -> None:
        super().__init__(sock)
        self._close = close

    def _piece(self, chunk: bytes) -> bytes:
        return b"%X\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""

    def _end(self) -> bytes:
        return b"0\r\n\r\n"

    def _finish(self) -> None:
        if self._close:
            self._sock.close()


sinkt: dict[str, Callable[..., Any]] = {
    "close-when-done": ClosingSink,
    "keep-open": SocketSink,
    "default": SocketSink,
    "http-chunked": ChunkedSink,
}

_chosen = choose(sinkt)


def sink(mode: Any, *options: Any) -> SocketSink:
    """Make a sink of a socket: sink("keep-open", sock), or sink(sock), which is the same.

    "close-when-done" closes the socket at the end; "http-chunked" sends chunks as HTTP has them, and with True as a
    third argument closes the socket, too. ValueError for another mode; `sinkt` has them, and takes more.
    """
    made: SocketSink = _chosen(mode, *options)
    return made
