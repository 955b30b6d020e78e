"""The poller of macOS and the BSDs: two filters per socket, each registered once, edge-triggered (EV_CLEAR).

kqueue(2) differs between its systems in nearly all else: so no more of it is used than EV_ADD, EV_CLEAR, EV_DELETE and
EV_EOF. Changes go one per call and never together with a wait: a signal that ends a wait makes Python hand the changes
in again (PEP 475), an error among several hides events or drops the changes behind it. Of an event only the filter and
the end of file are read; how much there is, and which error, the attempt finds out. close(2) drops the filters of its
descriptor without a word; the handle wakes the waiters before. A kqueue is not inherited by fork(2).
"""

from __future__ import annotations

import os
import select
import socket
import sys
from typing import Any

from .handle import Handle
from .interface import READABLE, WRITABLE
from .sharing import ShareableEngine

_ENDED = 0x2000  # what epoll(7) calls EPOLLRDHUP

# Python allocates room for as many events as are asked for, at every call.
EVENTS_MAX = 1024

_ALARM_MS = 1

# Where send(2) has no MSG_NOSIGNAL it is an option of the socket, which Python's socket module does not name.
SO_NOSIGPIPE = 0x1022

_abandoned: list[Any] = []


class Kqueue(ShareableEngine):
    """kqueue(2). `fileno()` is the kqueue's descriptor.

    `impl` is where `kqueue`, `kevent` and the KQ_ constants come from: the standard library's select, or its like.
    """

    name = "kqueue"

    def __init__(self, impl: Any = select) -> None:
        self._impl = impl
        self._filters = {READABLE: impl.KQ_FILTER_READ, WRITABLE: impl.KQ_FILTER_WRITE}
        self._kqueue = impl.kqueue()
        super().__init__()
        self._change(self._wake_receiver.fileno(), impl.KQ_FILTER_READ, impl.KQ_EV_ADD)

    def admit(self, sock: socket.socket, drains: bool) -> Handle:
        # A short receive may have stopped at an urgent mark, and no filter that all systems have would tell.
        handle = super().admit(sock, False)
        if sys.platform == "darwin":
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_NOSIGPIPE, 1)
            except OSError:
                pass  # it is shut down already: macOS takes no options any more
        return handle

    def arm(self, handle: Handle, bit: int) -> None:
        self._change(handle.fd, self._filters[bit], self._impl.KQ_EV_ADD | self._impl.KQ_EV_CLEAR)

    def disown(self, fd: int) -> None:
        for filter_ in self._filters.values():
            try:
                self._change(fd, filter_, self._impl.KQ_EV_DELETE)
            except OSError:
                pass  # it was not registered, which each system says in its own way

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        kqueue = self._kqueue  # see release()
        if kqueue is None:
            self._check()
        if timeout_s is not None:
            timeout_s = max(timeout_s, 0)
        # To ask for no event would be not to wait.
        fetched = kqueue.control(None, min(max(limit, 1), EVENTS_MAX), timeout_s)
        read, ended = self._impl.KQ_FILTER_READ, self._impl.KQ_EV_EOF
        return [
            (event.ident, (READABLE if event.filter == read else WRITABLE) | (_ENDED if event.flags & ended else 0))
            for event in fetched
        ]

    def fileno(self) -> int:
        if self._kqueue is None:
            raise ValueError("this kqueue has been closed")
        return self._kqueue.fileno()  # type: ignore[no-any-return]

    def release(self) -> None:
        kqueue, self._kqueue = self._kqueue, None
        if kqueue is None:
            return
        if not self._waiting:
            kqueue.close()
            return
        # Closing it would leave asleep who sleeps in it, or hand him a stranger's descriptor. A timer wakes them one by
        # one, and the last one to drop the object closes it.
        kqueue.control([self._impl.kevent(0, self._impl.KQ_FILTER_TIMER, self._impl.KQ_EV_ADD, 0, _ALARM_MS)], 0)

    def after_fork_in_child(self) -> None:
        super().after_fork_in_child()
        # Before 3.12.1 Python does not know that the descriptor is gone: when the object goes, it closes whatever has
        # the number by then. So it goes now, while nothing has it, or never.
        kqueue, self._kqueue = self._kqueue, None
        if kqueue is None or kqueue.closed:
            return
        if _is_open(kqueue.fileno()):
            _abandoned.append(kqueue)
        else:
            kqueue.close()

    def _change(self, ident: int, filter_: int, flags: int) -> None:
        self._kqueue.control([self._impl.kevent(ident, filter_, flags)], 0)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
