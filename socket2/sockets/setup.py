"""State that few sockets need. It is kept separately, so that the others do not pay for it."""

from __future__ import annotations

from typing import Any

import pollers

from ..threads.deadline import Patience
from ..threads.turns import Turns


class Setup:
    """The options, timeouts and turns of a socket."""

    __slots__ = ("options", "path", "reading", "receivers", "senders", "writing")

    def __init__(self) -> None:
        self.options: list[tuple[Any, ...]] = []  # those set before the socket was attached
        self.path: pollers.BoundPath | None = None  # the file to remove at the end
        self.reading: Patience | None = None
        self.writing: Patience | None = None
        self.receivers = Turns()
        self.senders = Turns()

    def copied(self) -> Setup:
        """Return the options and timeouts for another socket."""
        made = Setup()
        made.options = [*self.options]
        made.reading = Patience(self.reading.seconds) if self.reading is not None else None
        made.writing = Patience(self.writing.seconds) if self.writing is not None else None
        return made
