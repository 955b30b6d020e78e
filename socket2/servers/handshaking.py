"""TLS for a server's connections: each one's thread makes the handshake first, and says goodbye at the end.

So a slow handshake delays neither the accepting thread nor another connection. This module knows TLS only as a byte
stream with a handshake. It does not know how connections are accepted.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..sockets.tcp import TCP
from ..streams.transport import note_socket
from ..threads.coroutines import steps_of_call
from ..threads.lock import lock
from ..threads.scope import timeout
from ..threads.semaphores import Held, Semaphore
from ..tls.arguments import check_context, handshake_limit
from ..tls.layer import TLS
from .connection import before_requests

if TYPE_CHECKING:
    import ssl


def check_limits(
    max_connections: int | None, handshake_s: float | None, max_handshakes: int | None, has_tls: bool
) -> None:
    """Raise TypeError if a limit of a server is no number, ValueError if it is too small. None means no limit.

    Raises TypeError for a limit on handshakes that would have no effect.
    """
    for name, limit in (("max_connections", max_connections), ("max_handshakes", max_handshakes)):
        if isinstance(limit, bool):
            raise TypeError(f"{name} must be a number, not {limit!r}")
        if limit is not None and operator.index(limit) < 1:
            raise ValueError(f"{name} must be at least 1, not {limit!r}")
    handshake_limit(handshake_s)
    if max_handshakes is not None and not has_tls:
        raise TypeError("max_handshakes needs tls, a context; it does not count the handshakes of starttls()")


class Handshakes:
    """How many handshakes of a server were full, resumed an earlier session, and failed."""

    __slots__ = ("failed", "full", "resumed")

    def __init__(self) -> None:
        self.full = self.resumed = self.failed = 0

    def facts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Secured:
    """Makes each connection TLS, and passes that to `handler`.

    `max_handshakes`: how many handshakes are made at a time; None for any number. A client gets its turn when it has
    sent something: otherwise that many silent clients would keep all others out.
    """

    __slots__ = ("_context", "_handler", "_handshake_s", "_most", "_room", "counts")

    def __init__(
        self,
        handler: Callable[[Any], Any],
        context: ssl.SSLContext,
        handshake_s: float | None,
        max_handshakes: int | None,
    ) -> None:
        check_context(context, server_side=True)
        self._handler = handler
        self._context = context
        self._handshake_s = handshake_limit(handshake_s)
        self._most = max_handshakes
        self.counts = Handshakes()
        self._room = Semaphore(max_handshakes) if max_handshakes is not None else None

    def serve(self, conn: TCP) -> Generator[Any, None, None]:
        """Be the thread of a connection."""
        tls = TLS(conn, self._context, server_side=True, handshake_s=self._handshake_s)
        yield from self._shake(conn, tls)
        yield from steps_of_call(self._handler, (tls,))
        with suppress(OSError):
            yield from tls.end()

    def _shake(self, conn: TCP, tls: TLS) -> Generator[Any, None, None]:
        counts = self.counts
        try:
            with before_requests():
                if self._room is None:
                    yield from tls.handshake()
                else:
                    yield from self._first_byte(conn)
                    with (yield from self._turn(self._room)):
                        yield from tls.handshake()
        except OSError as error:
            with lock:
                counts.failed += 1
            if isinstance(error, TimeoutError):
                note_socket(error, conn)  # it may have waited for others
            raise
        with lock:
            if tls.resumed:
                counts.resumed += 1
            else:
                counts.full += 1

    def _first_byte(self, conn: TCP) -> Generator[Any, None, None]:
        try:
            with timeout(self._handshake_s):
                yield from conn.handle.wait_readable(conn)
        except TimeoutError as error:
            error.args = (f"the client sent nothing for {self._handshake_s:g} s, so TLS did not begin",)
            raise

    def _turn(self, room: Semaphore) -> Generator[Any, None, Held]:
        try:
            return (yield from room.acquire(self._handshake_s))
        except TimeoutError as error:
            error.args = (
                f"waited {self._handshake_s:g} s for the handshakes of others, because of max_handshakes={self._most}",
            )
            raise
