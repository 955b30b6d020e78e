"""The ends of a pump: sources that receive from a socket, and sinks that send to one. For LTN12, see ltn12.

A source returns (chunk, None), at the end (None, None), or (None, err). After an error such as 'timeout' it can be
called again: it has lost nothing. A sink takes (chunk, err), with a chunk of None at the end, and returns (1, None) or
(None, err).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

from pollers import Operation, operation

from .calls import call, outcome, setting
from .messages import Message
from .modes import choose

Pulled = tuple[bytes | None, Message | None]
Pushed = tuple[int | None, Message | None]

_SIZE = re.compile(rb"\s*([0-9A-Fa-f]+)\s*(?:;.*)?")
_FIELD = re.compile(rb"(.*?):\s*(.*)", re.DOTALL)


class SocketEnd:
    """What select() needs to know of the socket of a source or sink."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def getfd(self) -> int:
        """Return the socket's descriptor."""
        return int(self._sock.getfd())

    def dirty(self) -> bool:
        """Return the socket's dirty()."""
        return bool(self._sock.dirty())


class Failed(Exception):
    """The source cannot continue now."""

    def __init__(self, err: Message) -> None:
        self.err = err


class SocketSource(SocketEnd):
    """A source that select() accepts, too. 'until-closed': everything; then it closes the socket."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._partial = b""
        self._done = False

    def __call__(self) -> Operation[Pulled]:
        """Receive the next chunk."""
        return self._pull()

    @call
    def _pull(self) -> Generator[Any, None, Pulled]:
        try:
            chunk = None if self._done else (yield from self._next())
        except Failed as failed:
            return None, failed.err
        self._done = self._done or chunk is None
        return chunk, None

    @operation
    def _next(self) -> Generator[Any, None, bytes | None]:
        try:
            return (yield from self._receive(setting("BLOCKSIZE")))
        except Failed as failed:
            if failed.err != "closed":
                raise
        self._sock.close()
        last, self._partial = self._partial, b""
        self._done = True
        return last or None

    @operation
    def _receive(self, pattern: str | int) -> Generator[Any, None, bytes]:
        """Receive what the pattern asks for. After an error, the partial data is kept for the next call."""
        data, err, partial, *_ = yield from outcome(self._sock.receive(pattern, self._partial))
        if data is None:
            self._partial = partial
            raise Failed(err)
        self._partial = b""
        return bytes(data)


class CountedSource(SocketSource):
    """'by-length': a fixed number of bytes."""

    def __init__(self, sock: Any, length: int) -> None:
        super().__init__(sock)
        self._left = length

    @operation
    def _next(self) -> Generator[Any, None, bytes | None]:
        if self._left <= 0:
            return None
        chunk = yield from self._receive(min(setting("BLOCKSIZE"), self._left))
        self._left -= len(chunk)
        return chunk


class ChunkedSource(SocketSource):
    """'http-chunked': the content of HTTP's chunked transfer coding. `headers`: a dict for the trailer fields.

    The field names are in lower case. It has its own errors: 'invalid chunk size', 'malformed reponse headers'. RFC
    9112, 7.1.
    """

    def __init__(self, sock: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(sock)
        self.headers = headers if headers is not None else {}
        self._left = 0  # bytes left of the chunk
        self._ends = False  # the data of a chunk was received, but not the end of its line
        self._in_trailer = False
        self._field = ""

    @operation
    def _next(self) -> Generator[Any, None, bytes | None]:
        if self._ends:
            yield from self._receive("*l")
            self._ends = False
        if not self._left and not self._in_trailer:
            line = yield from self._receive("*l")
            size = _SIZE.fullmatch(line)
            if size is None:
                raise Failed(Message("invalid chunk size"))
            self._left = int(size[1], 16)
            self._in_trailer = not self._left
        if self._in_trailer:
            yield from self._trailer()
            return None
        chunk = yield from self._receive(min(setting("BLOCKSIZE"), self._left))
        self._left -= len(chunk)
        self._ends = not self._left
        return chunk

    @operation
    def _trailer(self) -> Generator[Any, None, None]:
        while line := (yield from self._receive("*l")):
            if line[:1] in b" \t" and self._field:
                self.headers[self._field] += line.decode("latin-1")
                continue
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Failed(Message("malformed reponse headers"))
            self._field, value = (part.decode("latin-1") for part in field.groups())
            self._field = self._field.lower()
            before = self.headers.get(self._field)
            self.headers[self._field] = value if before is None else f"{before}, {value}"


sourcet: dict[str, Callable[..., Any]] = {
    "by-length": CountedSource,
    "until-closed": SocketSource,
    "default": SocketSource,
    "http-chunked": ChunkedSource,
}

_chosen_source = choose(sourcet)


def source(mode: Any, *options: Any) -> SocketSource:
    """Make a source from a socket: source("until-closed", sock), or source(sock), which is the same.

    "until-closed" returns everything to the end of the stream, and then closes the socket. "by-length" returns a number
    of bytes: source("by-length", sock, 100). "http-chunked" decodes HTTP's chunks; a dict as the third argument gets
    the trailer fields. Raises ValueError if the mode is unknown. `sourcet` holds the modes; you can add more.
    """
    made: SocketSource = _chosen_source(mode, *options)
    return made


class SocketSink(SocketEnd):
    """A sink that select() accepts, too. 'keep-open': the socket stays open at the end."""

    def __call__(self, chunk: bytes | None, err: Any = None) -> Operation[Pushed]:
        """Send the chunk. If that fails, getstats() of the socket tells how much was sent."""
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


class ClosingSink(SocketSink):
    """'close-when-done': closes the socket at the end."""

    def _finish(self) -> None:
        self._sock.close()


class ChunkedSink(SocketSink):
    """'http-chunked': HTTP's chunked transfer coding. `close`: whether to close the socket at the end.

    An empty chunk is skipped, because it would mean the end. RFC 9112, 7.1.
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

_chosen_sink = choose(sinkt)


def sink(mode: Any, *options: Any) -> SocketSink:
    """Make a sink from a socket: sink("keep-open", sock), or sink(sock), which is the same.

    "close-when-done" closes the socket at the end. "http-chunked" sends chunks as in HTTP; with True as the third
    argument it also closes the socket. Raises ValueError if the mode is unknown. `sinkt` holds the modes; you can add
    more.
    """
    made: SocketSink = _chosen_sink(mode, *options)
    return made
