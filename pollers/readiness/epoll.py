"""The Linux poller: a socket is registered once, edge-triggered, and epoll_ctl is not called per operation.

Writing is added when a writer first has to wait, so a server that only ever reads when idle sees one bit per event.
EPOLLRDHUP and EPOLLPRI are asked for because the engine takes a short receive for an empty socket: a FIN that came
with the data, or an urgent mark inside it, makes that wrong, and no second edge would tell (tcp(7), epoll(7)).
Unregistering is explicit: a descriptor that was dup'ed or inherited keeps its registration past close(2).
"""

from __future__ import annotations

import contextlib
import select

from ..operation import Closed
from .handle import Handle
from .interface import READABLE, WRITABLE
from .sharing import ShareableEngine

_ALWAYS = select.EPOLLET | select.EPOLLRDHUP | select.EPOLLPRI


class Epoll(ShareableEngine):
    """epoll(7). `fileno()` is the epoll descriptor."""

    name = "epoll"

    def __init__(self) -> None:
        self._epoll = select.epoll()
        super().__init__()
        self._epoll.register(self._wake_receiver, READABLE)

    def arm(self, handle: Handle, bit: int) -> None:
        armed = handle.armed & (READABLE | WRITABLE)
        try:
            if armed:
                self._epoll.modify(handle.fd, armed | bit | _ALWAYS)
            else:
                self._epoll.register(handle.fd, bit | _ALWAYS)
        except FileNotFoundError:
            raise Closed() from None  # by somebody else, and with its descriptor its registration has gone
        except FileExistsError:
            self._epoll.modify(handle.fd, bit | _ALWAYS)  # that of somebody who had the same socket

    def disown(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        return self._epoll.poll(timeout_s, limit)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def release(self) -> None:
        self._epoll.close()
