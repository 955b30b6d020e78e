"""A worker process as its supervisor sees it: what it has told, what it is told, and its end.

Also what such a process knows of itself.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from time import monotonic
from typing import Any

# What a worker sends: it serves, it wants to leave, it is ready to stop. At its end it sends a number.
READY = b"+"
LEAVING = b"-"
HERE = b"!"
# What it is told: to leave its queue to a successor; to report that it is ready to stop; to stop, because nobody else
# has its listeners now; to cut off its connections.
LEAVE = b"l"
STOP = b"s"
GO = b"g"
CUT = b"c"

own_number: int | None = None
"""The number of this process, if it is a worker."""
is_leaving = False
"""Whether this worker was asked to leave or to stop. It may have a successor with its number."""


class Worker:
    """One worker process, as the supervisor sees it."""

    def __init__(self, number: int, pid: int, sock: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.sock = sock
        self.begun = monotonic()
        self.silent = False  # it has closed its end
        self.kill_at: float | None = None
        self.goes = False  # it has been told to stop
        self.renewed = False  # it has been sent SIGTERM, because another one is to take its place
        self._told = b""

    def listen_to(self) -> None:
        """Read its messages: that it serves, leaves or can stop; at its end, how many connections it cut off."""
        try:
            while told := self.sock.recv(4096):
                self._told += told
            self.silent = True
        except BlockingIOError:
            pass
        except OSError:
            self.silent = True

    def tell(self, order: bytes) -> None:
        with suppress(OSError):  # it may have ended just now
            self.sock.send(order)

    @property
    def ready(self) -> bool:
        return READY in self._told

    @property
    def leaving(self) -> bool:
        return LEAVING in self._told

    @property
    def here(self) -> bool:
        return HERE in self._told

    @property
    def has_stopped(self) -> bool:
        """Whether its server stopped in good order."""
        return bool(self._told.strip(READY + LEAVING + HERE))

    @property
    def cut(self) -> int:
        return int(self._told.strip(READY + LEAVING + HERE) or 0)

    def facts(self, stopping: bool) -> dict[str, Any]:
        state = "leaving" if self.leaving else "stopping" if stopping else "serving" if self.ready else "starting"
        age_s = monotonic() - self.begun
        return {"number": self.number, "pid": self.pid, "state": state, "age_s": age_s, "start_s": None}

    def wait(self, options: int = 0) -> int | None:
        """Return its exit code, negative for a signal, or None if it has not ended."""
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # other code has waited for it
            return 1
        return os.waitstatus_to_exitcode(status) if pid else None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # not waited for yet, so the pid is still its own
        self.wait()
        self.bury()

    def bury(self) -> None:
        from ..debug.inquiry import remove_socket_of  # most programs never load it

        self.sock.close()
        remove_socket_of(self.pid)
