"""Objects for streams of bytes, TCP and UNIX: listening and accepting. `transfer` has what a client does."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pollers import Operation

from ..sockets.socket import place_of
from .calls import call
from .messages import Message, message_of
from .objects import Done
from .transfer import TransferObject

if TYPE_CHECKING:
    from typing import Self


class StreamObject(TransferObject):
    """A stream object: `master` when new, `server` after listen(), `client` after connect(), even if that failed."""

    __slots__ = ()

    # Listening.

    def listen(self, backlog: int | None = None) -> Done:
        """Let clients connect: a master becomes a server. Return (1, None) or (None, err).

        `backlog`: how many connections may wait to be accepted, 32 by default. Raises TypeError if the object is not a
        master or the backlog is not a number.
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
        """Wait for a client to connect; return (client, None), or (None, err) with 'timeout' or 'closed'.

        The client starts with no timeouts, and its own statistics. A client that left early is skipped. If descriptors
        run out, accept() tries again every 0.1 s. A timeout or cancellation loses no connection. Several threads may
        accept. Raises TypeError if the object is not a server.
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


def backlog_of(backlog: int | None) -> int:
    """Return a backlog that listen(2) accepts. Raises TypeError if it is not a number."""
    if backlog is None:
        return 32
    if isinstance(backlog, bool) or not isinstance(backlog, int):
        raise TypeError(f"a backlog must be a number, not {backlog!r}")
    return min(max(backlog, -1), 2**31 - 1)
