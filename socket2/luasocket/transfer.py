"""Objects that receive into a buffer: receiving by patterns, sending, statistics.

Results have as many values as LuaSocket's. If a call ends early, its result says what was done by then: the partial
data of a receive, or the position of the last byte that was sent. This module does not know what the bytes go through:
that is the system's socket, or TLS over it.
"""

from __future__ import annotations

import operator
import socket
from collections.abc import Generator
from contextlib import suppress
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

from pollers import Operation

from ..sockets.tcp import TCP
from ..streams.buffer import BLOCK, Buffer
from ..streams.claim import Claim
from ..threads.loop import now
from ..threads.scheduler import current_scheduler
from ..threads.thread import currentthread
from .calls import call, setting
from .messages import Message, ended, message_of
from .objects import Object
from .patterns import Pattern, pattern_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_HOW = {"both": socket.SHUT_RDWR, "send": socket.SHUT_WR, "receive": socket.SHUT_RD}


class TransferObject(Object[TCP]):
    """A client with a buffer. One thread may receive while another sends. A second one in a direction gets Busy."""

    __slots__ = ("_begun", "_buffer", "_reading", "_received", "_sent", "_writing")

    def __init__(self, family: str | None, cls: str, made_at: str) -> None:
        super().__init__(family, cls, made_at)
        self._buffer = Buffer()
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")
        self._received = self._sent = 0
        self._begun = now()

    # What the bytes go through.

    @property
    def _stream(self) -> Any:
        """Has recv(n) and send(data), which are operations. Raises Closed if there is none."""
        return self._opened

    def _text(self, error: OSError, side: Literal["reading", "writing"]) -> Message:
        """Return the message for an error of a receive or a send."""
        return message_of(error)

    def _kept(self) -> int:
        """Return how many bytes will be sent although no send has reported them, because the last one was given up."""
        return 0

    # Receiving.

    def receive(
        self, pattern: str | int | None = None, prefix: ReadableBuffer | None = None
    ) -> Operation[tuple[Any, ...]]:
        """Receive what `pattern` asks for, after `prefix`; return (data, None, None) or (None, err, partial).

        '*l' (the default): a line without its LF and without any CR in it. '*a': everything to the end of the stream.
        Longer words with this beginning work, too: '*line', '*all'. A number: that many bytes, including the prefix, so
        0 never waits. Two patterns are not in LuaSocket: 'l', a line without its end, LF or CR LF; 'L', a line with its
        end. Errors are 'timeout', 'closed' (also at the end of the stream, but for '*a' only if nothing came), or the
        system's. `partial` is the prefix and all that came. It is not received again: pass it as the prefix of the next
        receive to continue.

        After a cancellation, the bytes that came stay for the next receive. Raises ValueError or TypeError if the
        pattern is invalid, TypeError if the object is not a client.
        """
        self._need("receive", "client")
        return self._receive(
            pattern_of("*l" if pattern is None else pattern), b"" if prefix is None else bytes(memoryview(prefix))
        )

    @call
    def _receive(self, pattern: Pattern, prefix: bytes) -> Generator[Any, None, tuple[Any, ...]]:
        begun = current_scheduler().now()
        waits = self._timeouts.begin()
        err: Message | None = None
        claim = self._reading.take()
        try:
            claim.thread = currentthread()
            try:
                stream = self._stream
                while True:  # see threads/lock.py
                    end = pattern.end(self._buffer, prefix)
                    if end >= 0:
                        break
                    data = yield from waits.limit(stream.recv(BLOCK))
                    if not data:
                        end = len(self._buffer)
                        err = None if end and pattern.ends_with_stream else ended()
                        break
                    self._buffer.add(data)
            except OSError as error:
                err = self._text(error, "reading")
                end = len(self._buffer)
            data = pattern.result(prefix, self._buffer.take(end))
        finally:
            claim.thread = None
            claim.free = None
        self._received += end
        return _told((data, None, None) if err is None else (None, err, data), begun)

    # Sending.

    def send(self, data: ReadableBuffer, i: int | None = None, j: int | None = None) -> Operation[tuple[Any, ...]]:
        """Send bytes `i` to `j`, counted as in Lua's string.sub: from 1, or from the end if negative.

        Return (last, None, None) with the position of the last byte that was sent, or (None, err, last) with 'timeout',
        'closed' or the system's error. The rest is `data[last:]` in Python, and starts at last + 1 for another send.
        After a cancellation, `bytes_sent` on the exception tells how much was sent. Raises TypeError if `data` is a str
        or the object is not a client.
        """
        self._need("send", "client")
        with memoryview(data) as view:
            size = view.nbytes
        i, j = 1 if i is None else operator.index(i), -1 if j is None else operator.index(j)
        first = max(i if i >= 0 else size + i + 1, 1)
        last = min(j if j >= 0 else size + j + 1, size)
        return self._send(data, first - 1, max(last, first - 1))

    @call
    def _send(self, data: ReadableBuffer, before: int, to: int) -> Generator[Any, None, tuple[Any, ...]]:
        begun = current_scheduler().now()
        waits = self._timeouts.begin()
        err: Message | None = None
        sent = 0
        claim = self._writing.take()
        try:
            claim.thread = currentthread()
            with memoryview(data) as view, view.cast("B") as octets:
                while True:  # see threads/lock.py
                    if before + sent >= to:
                        break
                    with octets[before + sent : to] as rest:
                        sent += yield from waits.limit(self._stream.send(rest))
        except OSError as error:
            err = self._text(error, "writing")
        except BaseException as error:
            sent += self._kept()
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise
        finally:
            self._sent += sent
            claim.thread = None
            claim.free = None
        last = before + sent
        return _told((last, None, None) if err is None else (None, err, last), begun)

    # Statistics.

    def getstats(self) -> tuple[int, int, float]:
        """Return (received, sent, age): bytes from receive(), bytes from send(), and the age in seconds.

        setstats() may have changed these.
        """
        return self._received, self._sent, now() - self._begun

    def setstats(self, received: int | None = None, sent: int | None = None, age: float | None = None) -> int:
        """Set the values that getstats() returns; None keeps one. Return 1. Raises TypeError if one is not a number."""
        for value in (received, sent, age):
            if isinstance(value, bool) or not isinstance(value, (int, float, NoneType)):
                raise TypeError(f"number expected, got {type(value).__name__}")
        self._received = self._received if received is None else received
        self._sent = self._sent if sent is None else sent
        self._begun = self._begun if age is None else now() - age
        return 1

    def _refuse_if_in_use(self, side: Literal["reading", "writing"]) -> None:
        claim: Claim = getattr(self, f"_{side}")
        claim.check()
        super()._refuse_if_in_use(side)  # a thread in accept() has no claim

    def dirty(self) -> bool:
        """Return whether received data is in the buffer, where select() on the descriptor cannot see it."""
        return len(self._buffer) > 0

    # The end.

    def shutdown(self, mode: str | None = None) -> int:
        """End the stream in 'both' directions (the default), or only 'send' or 'receive'. Return 1.

        Data that was sent before still arrives. Raises ValueError if the mode is unknown, TypeError if the object is
        not a client.
        """
        self._need("shutdown", "client")
        mode = "both" if mode is None else mode
        if not isinstance(mode, str):
            raise TypeError(f"string expected, got {type(mode).__name__}")
        if mode not in _HOW:
            raise ValueError(f"invalid option {mode!r}: expected one of {', '.join(_HOW)}")
        with suppress(OSError):
            self._shut(_HOW[mode])
        return 1

    def _shut(self, how: int) -> None:
        self._opened.shutdown(how)

    def setfd(self, fd: int) -> None:
        super().setfd(fd)
        self._forget()

    def close(self) -> int:
        super().close()
        self._forget()
        return 1

    def _forget(self) -> None:
        """Drop the buffer, unless a thread is receiving: that thread returns it as its partial result."""
        self._reading.if_free(self._buffer.clear)


def _told(values: tuple[Any, ...], begun: float) -> tuple[Any, ...]:
    """Return the results; with `_DEBUG` also the seconds that they took, as LuaSocket's debug build does."""
    return (*values, now() - begun) if setting("_DEBUG") else values
