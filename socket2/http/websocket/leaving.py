"""What WebSockets do when the server of their handlers stops: they send Close frames with code 1001, going away.

One thread for each server waits for that, while there are WebSockets.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from typing import Any

from ...servers.current import current_server
from ...servers.server import Server
from ...threads.loop import newthread
from ...threads.thread import Thread
from .closing import GOING_AWAY
from .wire import Wire


class Audience:
    """The WebSockets of one server."""

    __slots__ = ("__weakref__", "_server", "_thread", "_wires")

    def __init__(self, server: Server) -> None:
        self._server = weakref.ref(server)
        self._wires: dict[Wire, None] = {}
        self._thread: Thread[None] | None = None

    def enter(self, wire: Wire) -> None:
        self._wires[wire] = None
        server = self._server()
        if server is not None and (self._thread is None or self._thread.done):
            self._thread = newthread(self._dismiss, server, name="websocket goodbye")

    def leave(self, wire: Wire) -> None:
        self._wires.pop(wire, None)
        thread = self._thread
        if not self._wires and thread is not None:
            self._thread = None
            thread.cancel()

    def _dismiss(self, server: Server) -> Generator[Any, None, None]:
        yield from server.stopping.wait()
        for wire in list(self._wires):
            wire.leave(GOING_AWAY)


_audiences: weakref.WeakKeyDictionary[Server, Audience] = weakref.WeakKeyDictionary()


def audience() -> Audience | None:
    """Return the WebSockets of the server of this thread, None if there is no server."""
    try:
        server = current_server()
    except RuntimeError:
        return None
    return _audiences.setdefault(server, Audience(server))
