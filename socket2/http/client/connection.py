"""One connection to a server or a proxy: the byte stream, the state of HTTP on it, and whether it can be used again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pollers

from ...sockets.tcp import TCP
from ...threads.coroutines import awaiting
from ...threads.loop import now
from ...tls.layer import TLS
from ..messages.bounds import Limits
from ..messages.clientside import ClientSide
from ..messages.incoming import BLOCK

Key: TypeAlias = tuple[object, ...]
"""What connections must have in common so that one can be used in place of another."""


@dataclass(slots=True, kw_only=True)
class Timings:
    """When the phases of a request ended, in seconds since its start. None: it has not ended, or there was none.

    `connected`: the connection was there, after the lookup of the name; None if an earlier one was used again.
    `secured`: the TLS handshake was over. `sent`: the request had been sent. `begun`: the head of the response had
    come. `ended`: all of it had.
    """

    connected: float | None = None
    secured: float | None = None
    sent: float | None = None
    begun: float | None = None
    ended: float | None = None


class Connection(pollers.Unique):
    """A connection. One request at a time owns it."""

    __slots__ = ("idle_since", "key", "side", "sock", "times_used", "via_proxy")

    def __init__(self, key: Key, sock: TCP | TLS, limits: Limits, via_proxy: bool = False) -> None:
        self.key = key
        self.sock = sock
        self.side = ClientSide(limits)
        self.times_used = 0
        self.idle_since = 0.0
        self.via_proxy = via_proxy  # whether the other end is a proxy that forwards requests

    def settimeout(self, read_s: float | None, send_s: float | None) -> None:
        self.sock.settimeout(read_s, "read")
        self.sock.settimeout(send_s, "write")

    def finish_exchange(self) -> bool:
        """Get ready for the next request. Return False if there can be none."""
        side = self.side
        if side.closing or not side.incoming.empty or self.sock.closed:
            return False
        try:
            side.next_exchange()
        except RuntimeError:
            return False  # the response came before the end of the request
        self.times_used += 1
        self.idle_since = now()
        return True

    def is_usable(self) -> Generator[Any, None, bool]:
        """Whether nothing has come on an idle connection: no end, no error, and nothing that nobody asked for."""
        self.sock.settimeout(0, "read")
        try:
            yield from awaiting(self.sock.recv(BLOCK))
        except TimeoutError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self.sock.close()

    def __repr__(self) -> str:
        return f"<Connection, used {self.times_used} times, over {self.sock!r}>"
