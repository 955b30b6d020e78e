"""The poller of macOS and the BSDs. It registers two filters per socket, each once and edge-triggered (EV_CLEAR).

The systems differ in nearly all the rest of kqueue(2), so this module uses only EV_ADD, EV_CLEAR, EV_DELETE and EV_EOF.
Each change is a call of its own, and never part of a wait: if a signal interrupts the wait, Python submits the changes
again (PEP 475), and if one of several changes fails, the kernel hides events or drops later changes. The poller reads
only the filter and EV_EOF of an event; the attempt finds out how much data there is, and which error. close(2) removes
the filters of its descriptor silently, so the handle wakes its waiters first. A kqueue is not inherited by fork(2).
"""

from __future__ import annotations

import os
import select
import socket
import sys
from typing import Any

from .handle import Handle
from .interface import HUNG_UP, READABLE, WRITABLE
from .sharing import ShareableEngine

# Python allocates room for all requested events at every call.
EVENTS_MAX = 1024

_ALARM_MS = 1

# If send(2) has no MSG_NOSIGNAL, there is this socket option, which Python's socket module does not name.
SO_NOSIGPIPE = 0x1022

_abandoned: list[Any] = []


class Kqueue(ShareableEngine):
    """kqueue(2). `fileno()` is the kqueue's descriptor.

    `impl` provides `kqueue`, `kevent` and the KQ_ constants: the standard library's select module, or one like it.
    """

    name = "kqueue"
    watchable = True

    def __init__(self, impl: Any = select) -> None:
        self._impl = impl
        self._filters = {READABLE: impl.KQ_FILTER_READ, WRITABLE: impl.KQ_FILTER_WRITE}
        self._kqueue = impl.kqueue()
        super().__init__()
        self._change(self._wake_receiver.fileno(), impl.KQ_FILTER_READ, impl.KQ_EV_ADD)

    def admit(self, sock: socket.socket, drains: bool) -> Handle:
        # A short receive may have stopped at an urgent mark, and not all systems have a filter that reports this.
        handle = super().admit(sock, False)
        if sys.platform == "darwin":
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_NOSIGPIPE, 1)
            except OSError:
                pass  # macOS sets no options on a socket that is shut down
        return handle

    def arm(self, handle: Handle, bit: int) -> None:
        self._change(handle.fd, self._filters[bit], self._impl.KQ_EV_ADD | self._impl.KQ_EV_CLEAR)

    def disown(self, fd: int) -> None:
        for filter_ in self._filters.values():
            try:
                self._change(fd, filter_, self._impl.KQ_EV_DELETE)
            except OSError:
                pass  # it was not registered; each system reports this with another errno

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        kqueue = self._kqueue  # see release()
        if kqueue is None:
            self._check()
        if timeout_s is not None:
            timeout_s = max(timeout_s, 0)
        # A call that asks for 0 events does not wait.
        fetched = kqueue.control(None, min(max(limit, 1), EVENTS_MAX), timeout_s)
        read, ended = self._impl.KQ_FILTER_READ, self._impl.KQ_EV_EOF
        return [
            (event.ident, (READABLE if event.filter == read else WRITABLE) | (HUNG_UP if event.flags & ended else 0))
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
        # Other OS threads wait in it. To close it now could leave them asleep, or give them a descriptor that belongs
        # to somebody else. A timer wakes them one by one, and the last one to drop the object closes it.
        kqueue.control([self._impl.kevent(0, self._impl.KQ_FILTER_TIMER, self._impl.KQ_EV_ADD, 0, _ALARM_MS)], 0)

    def after_fork_in_child(self) -> None:
        super().after_fork_in_child()
        # Python before 3.12.1 does not know that fork() has closed the descriptor. When it frees the object, it closes
        # whatever has the number by then. So the object is freed now if nothing has the number, and otherwise never.
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
