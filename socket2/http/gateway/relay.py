"""Bytes in both directions between two streams, until both have ended: WebSocket and CONNECT through a proxy."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Any

from ...streams.stream import Stream
from ...threads.group import threadset
from ...threads.loop import now


class Relay:
    """The two directions end one after the other, as the two ends want it.

    If one breaks off, both are closed. So they are if nothing has come from either for `idle_s` seconds.
    """

    __slots__ = ("_heard_at", "_idle_s", "_one", "_other", "carried")

    def __init__(self, one: Stream, other: Stream, idle_s: float | None) -> None:
        self._one = one
        self._other = other
        self._idle_s = idle_s
        self._heard_at = now()
        self.carried = 0
        """How many bytes in both directions."""

    def run(self) -> Generator[Any, None, None]:
        """Carry until the end, and close both."""
        try:
            for stream in (self._one, self._other):
                stream.settimeout(self._idle_s, "read")
            with threadset() as threads:
                threads.newthread(self._carry, self._other, self._one, name="from upstream")
                yield from self._carry(self._one, self._other)
                yield from threads.join()
        finally:
            self._one.close()
            self._other.close()

    def _carry(self, source: Stream, sink: Stream) -> Generator[Any, None, None]:
        try:
            while True:
                try:
                    data = yield from source.recv()
                except TimeoutError:
                    if self._idle_s is not None and now() - self._heard_at < self._idle_s:
                        continue  # the other direction is in use
                    raise
                if not data:
                    break
                self._heard_at = now()
                self.carried += len(data)
                yield from sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()
