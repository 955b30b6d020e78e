"""Objects that send and receive a stream of bytes, TCP and UNIX alike: buffered receiving, sending, listening.

Results have as many values as LuaSocket's. What ends a call early is told with what there was by then: the partial
result of a receive, the place of the last byte that a send has sent.
"""

from __future__ import annotations

import operator
import socket
import sys
from collections.abc import Generator
from contextlib import suppress
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

from pollers import Busy, Operation

from ..sockets.socket import place_of
from ..sockets.tcp import TCP
from ..streams.buffer import BLOCK, Buffer
from ..streams.claim import Claim
from ..threads.loop import now
from ..threads.scheduler import current_scheduler
from ..threads.thread import currentthread
from .calls import call, setting
from .messages import Message, ended, message_of
from .objects import Done, Object
from .patterns import Pattern, pattern_of

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer

_HOW = {"both": socket.SHUT_RDWR, "send": socket.SHUT_WR, "receive": socket.SHUT_RD}


class StreamObject(Object[TCP]):
    """A stream object: `master` when new, `server` when it listens, `client` when it is, or was to be, connected.

    One thread may receive while another sends; a second one in the same direction gets Busy, which is raised.
    """

    __slots__ = ("_begun", "_buffer", "_reading", "_received", "_sent", "_writing")

    def __init__(self, family: str | None, cls: str, made_at: str) -> None:
        super().__init__(family, cls, made_at)
        self._buffer = Buffer()
        self._reading = Claim("receiving from")
        self._writing = Claim("sending to")
        self._received = self._sent = 0
        self._begun = now()

    # Listening.

    def listen(self, backlog: int | None = None) -> Done:
        """Let clients connect: a master becomes a server. Return (1, None), or (None, err).

        `backlog`: how many may wait to be accepted, 32 by default. TypeError for a server or client, or when it is no
        number.
        """
        self._need("listen", "master")
        backlog = backlog_of(backlog)
        try:
            self._open(self._family or "inet").std.listen(backlog)
        except OSError as error:
            return None, message_of(error)
        self._class = "server"
        return 1, None

    def accept(self) -> Operation[tuple[Self | None, Message | None]]:
        """Wait for a client to connect; return (client, None), or (None, err): 'timeout', 'closed'.

        The client has no timeouts and statistics of its own. A client that left early is passed over; without free
        descriptors it is tried again every 0.1 s. After a timeout, and when cancelled, no connection is lost. Several
        threads may accept. TypeError when the object is no server.
        """
        self._need("accept", "server")
        return self._accept(place_of(sys._getframe(1)))

    @call
    def _accept(self, made_at: str) -> Generator[Any, None, tuple[Self | None, Message | None]]:
        try:
            connection = yield from self._timeouts.begin().limit(self._opened.accept_untimed(made_at))
        except OSError as error:
            return None, message_of(error)
        client = type(self)(self._family, "client", made_at)
        client._sock = connection
        return client, None

    # Receiving.

    def receive(
        self, pattern: str | int | None = None, prefix: ReadableBuffer | None = None
    ) -> Operation[tuple[Any, ...]]:
        r"""Receive what `pattern` says, behind `prefix`; return (data, None, None), or (None, err, partial).

        '*l' (the default): a line without its LF, and without any CR in it; '*a': everything to the end of the stream;
        longer words begin so, too: '*line', '*all'; a number: so many bytes, those of the prefix among them, so 0 never
        waits. And two that LuaSocket has not: 'l', a line without its end, LF or CR LF; 'L', with it. The errors are
        'timeout', 'closed' (also after everything was received, but for '*a' only if that was nothing), or the
        system's; `partial`, which begins with the prefix, has what had come, which is not received again: give it as
        the prefix of the next receive to go on.

        Cancelled: what had come stays for the next receive. ValueError or TypeError for another pattern; TypeError when
        the object is no client.
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
        with self._reading:
            self._reading.thread = currentthread()
            try:
                connection = self._opened
                while (end := pattern.end(self._buffer, prefix)) < 0:
                    data = yield from waits.limit(connection.recv(BLOCK))
                    if not data:
                        end = len(self._buffer)
                        err = None if end and pattern.ends_with_stream else ended()
                        break
                    self._buffer.add(data)
            except OSError as error:
                err = message_of(error)
                end = len(self._buffer)
            finally:
                self._reading.thread = None
            data = pattern.result(prefix, self._buffer.take(end))
        self._received += end
        return _told((data, None, None) if err is None else (None, err, data), begun)

    # Sending.

    def send(self, data: ReadableBuffer, i: int | None = None, j: int | None = None) -> Operation[tuple[Any, ...]]:
        """Send the bytes from the `i`-th to the `j`-th, as string.sub in Lua counts: from 1, from the end if negative.

        Return (last, None, None), the place of the last byte that was sent, or (None, err, last): 'timeout', 'closed',
        or the system's. What is left is `data[last:]` here, and begins at last + 1 for another send. Cancelled: what
        ends it has `bytes_sent`. TypeError for a str, and when the object is no client.
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
        with self._writing:
            self._writing.thread = currentthread()
            try:
                with memoryview(data) as view, view.cast("B") as octets:
                    while before + sent < to:
                        with octets[before + sent : to] as rest:
                            sent += yield from waits.limit(self._opened.send(rest))
            except OSError as error:
                err = message_of(error)
            except BaseException as error:
                error.bytes_sent = sent  # type: ignore[attr-defined]
                raise
            finally:
                self._writing.thread = None
                self._sent += sent
        last = before + sent
        return _told((last, None, None) if err is None else (None, err, last), begun)

    # Statistics.

    def getstats(self) -> tuple[int, int, float]:
        """Return (received, sent, age): the bytes that receive() gave, those that send() sent, seconds since it began.

        As setstats() may have changed them.
        """
        return self._received, self._sent, now() - self._begun

    def setstats(self, received: int | None = None, sent: int | None = None, age: float | None = None) -> int:
        """Set what getstats() returns from now on; None leaves it as it is. Returns 1. TypeError for no number."""
        for value in (received, sent, age):
            if isinstance(value, bool) or not isinstance(value, (int, float, NoneType)):
                raise TypeError(f"number expected, got {type(value).__name__}")
        self._received = self._received if received is None else received
        self._sent = self._sent if sent is None else sent
        self._begun = self._begun if age is None else now() - age
        return 1

    def _refuse_if_in_use(self, side: Literal["reading", "writing"]) -> None:
        claim: Claim = getattr(self, f"_{side}")
        if claim.lock.locked():
            raise claim.refusal()
        super()._refuse_if_in_use(side)  # a thread in accept() has no claim

    def dirty(self) -> bool:
        """Whether something has come that select() on the descriptor cannot see, since it is in the buffer here."""
        return len(self._buffer) > 0

    # The end.

    def shutdown(self, mode: str | None = None) -> int:
        """End the stream: in 'both' directions (the default), in the one we 'send' in, or 'receive' in. Returns 1.

        What was sent before still arrives. ValueError for another mode, TypeError when the object is no client.
        """
        self._need("shutdown", "client")
        mode = "both" if mode is None else mode
        if not isinstance(mode, str):
            raise TypeError(f"string expected, got {type(mode).__name__}")
        if mode not in _HOW:
            raise ValueError(f"invalid option {mode!r}: it is one of {', '.join(_HOW)}")
        with suppress(OSError):
            self._opened.shutdown(_HOW[mode])
        return 1

    def setfd(self, fd: int) -> None:
        super().setfd(fd)
        self._forget()

    def close(self) -> int:
        super().close()
        self._forget()
        return 1

    def _forget(self) -> None:
        """Drop what has come, unless a thread is receiving: to that it is the partial result."""
        with suppress(Busy), self._reading:
            self._buffer.clear()


def backlog_of(backlog: int | None) -> int:
    """TypeError for no number. listen(2) takes any that fits; more than there is room for is as many as there is."""
    if backlog is None:
        return 32
    if isinstance(backlog, bool) or not isinstance(backlog, int):
        raise TypeError(f"a backlog is a number, not {backlog!r}")
    return min(max(backlog, -1), 2**31 - 1)


def _told(values: tuple[Any, ...], begun: float) -> tuple[Any, ...]:
    """The results, with `_DEBUG` also how many seconds they took, as LuaSocket's debug build has it."""
    return (*values, now() - begun) if setting("_DEBUG") else values
