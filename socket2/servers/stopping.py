"""The event of a graceful stop, for handlers whose connections would outlast it."""

from __future__ import annotations

from ..threads.events import Event


class Stopping(Event):
    """An Event that is true once it is set: `if server.stopping:` or `yield from server.stopping.wait()`."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return self._set
