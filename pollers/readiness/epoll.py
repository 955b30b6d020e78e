"""The Linux poller. It registers each socket once, edge-triggered, and calls no epoll_ctl(2) per operation.

EPOLLOUT is added when a writer first has to wait, so the events of a server that waits only for requests have one bit.
EPOLLRDHUP and EPOLLPRI are always requested. The engine concludes from a short receive that the socket is empty. This
is wrong if a FIN came with the data or if an urgent mark is inside it, and no second edge follows (tcp(7), epoll(7)).
A socket is always unregistered before close(2): a duplicated or inherited descriptor would keep it registered.
"""

from __future__ import annotations

import contextlib
import select

from ..operation import Closed
from .handle import Handle
from .interface import READABLE
from .sharing import ShareableEngine

_ALWAYS = select.EPOLLET | select.EPOLLRDHUP | select.EPOLLPRI


class Epoll(ShareableEngine):
    """epoll(7). `fileno()` is the epoll descriptor."""

    name = "epoll"
    watchable = True

    def __init__(self) -> None:
        self._epoll = select.epoll()
        super().__init__()
        self._epoll.register(self._wake_receiver, READABLE)

    def arm(self, handle: Handle, bit: int) -> None:
        armed = handle.armed
        try:
            if armed:
                self._epoll.modify(handle.fd, armed | bit | _ALWAYS)
            else:
                self._epoll.register(handle.fd, bit | _ALWAYS)
        except FileNotFoundError:
            raise Closed() from None  # somebody else has closed the descriptor, which also removed its registration
        except FileExistsError:
            self._epoll.modify(handle.fd, bit | _ALWAYS)  # an earlier handle had the same socket

    def disown(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        return self._epoll.poll(timeout_s, limit)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def release(self) -> None:
        self._epoll.close()
