"""Waiting for a descriptor that belongs to somebody else: a library's socket, or what other processes have, too.

A poller's own registration of it could stay behind, because a closed descriptor cannot be unregistered while a
duplicate is open (epoll(7), Q6). A duplicate of our own would keep open what its owner closes. So each wait has a
queue of its own, an epoll or a kqueue, which is readable when the descriptor is ready. Closing the queue ends its
registration in any case.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any, Protocol, cast

from .file import File, refusal


class _Queue(Protocol):
    """An epoll or a kqueue that watches one direction of one descriptor."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def watches(self) -> bool:
        """Return whether the descriptor is still open, and still the same file."""


class _Epoll:
    def __init__(self, fileno: int, writing: bool) -> None:
        self._fd = fileno
        self._bits = select.EPOLLOUT if writing else select.EPOLLIN
        self._epoll = select.epoll()
        self.fileno, self.close = self._epoll.fileno, self._epoll.close
        try:
            self._epoll.register(fileno, self._bits)
        except BaseException:
            self._epoll.close()
            raise

    def watches(self) -> bool:
        try:
            self._epoll.modify(self._fd, self._bits)
        except OSError:  # EBADF: it is closed; ENOENT: another file has the number
            return False
        return True


class _Kqueue:
    def __init__(self, fileno: int, writing: bool, impl: Any = select) -> None:
        filter_ = impl.KQ_FILTER_WRITE if writing else impl.KQ_FILTER_READ
        self._again = impl.kevent(fileno, filter_, impl.KQ_EV_ENABLE)
        self._kqueue = impl.kqueue()
        self.fileno, self.close = self._kqueue.fileno, self._kqueue.close
        try:
            self._kqueue.control([impl.kevent(fileno, filter_, impl.KQ_EV_ADD)], 0)
        except BaseException:
            self._kqueue.close()
            raise

    def watches(self) -> bool:
        try:
            self._kqueue.control([self._again], 0)
        except OSError:  # the close has removed the filter
            return False
        return True


def _queue(fileno: int, writing: bool) -> _Queue:
    if hasattr(select, "epoll"):
        return _Epoll(fileno, writing)
    if hasattr(select, "kqueue"):
        return _Kqueue(fileno, writing)
    raise refusal()


_kept: list[_Queue] = []  # whose descriptors somebody else has closed: they must not close the number again


class _QueueFile(File):
    def __init__(self, queue: _Queue) -> None:
        super().__init__(queue.fileno())
        self._queue = queue

    def close(self) -> None:
        if super().detach() >= 0:
            self._queue.close()

    def detach(self) -> int:
        _kept.append(self._queue)
        return super().detach()


class Foreign:
    """One direction of a descriptor that stays somebody else's. See Poller.foreign()."""

    def __init__(self, fileno: int, writing: bool, /) -> None:
        os.fstat(fileno)  # EBADF now: the queue may get the number of a closed descriptor
        self._queue = _queue(fileno, writing)
        self.sock = cast(socket.socket, _QueueFile(self._queue))
        """What attach() takes. Its handle becomes readable when the direction is ready. The handle owns it."""

    def is_same(self) -> bool:
        """Return whether the descriptor is still open and still the same file."""
        return self._queue.watches()
