"""What sniffio tells a library that asks which event loop runs it: "socket2", while our loop runs in this OS thread.

sniffio is not imported here: if nobody has imported it, nobody asks. A guest, such as trio, names itself while it runs.
A signal handler may raise after each call. So each end() does what an earlier one left to do.
"""

from __future__ import annotations

import sys
from typing import Any

NAME = "socket2"


class Sniffed:
    """A time in which sniffio names socket2 in this OS thread: from begin() to end()."""

    __slots__ = ("_former",)

    def __init__(self) -> None:
        self._former: tuple[Any, str | None] | None = None  # sniffio's data of this OS thread, and the name before

    def begin(self) -> None:
        local = getattr(sys.modules.get("sniffio"), "thread_local", None)
        if local is not None and self._former is None:
            self._former = local, local.name
            local.name = NAME

    def end(self) -> None:
        if self._former is not None:
            local, name = self._former
            local.name = name
            self._former = None
