"""asyncio's selector, which waits in a poller.

The poller's own handles report edges and belong to it. asyncio's add_reader() takes any descriptor, asks for levels,
and allows the owner to close it at any time. So such descriptors are in an epoll or kqueue of their own, which is one
more handle of the poller: it is readable when one of them is ready. Must not know what a transport or a thread is.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Generator
from typing import Any

from pollers import Direction, Poller

_Kind: Any = getattr(selectors, "EpollSelector", None) or getattr(selectors, "KqueueSelector", None)

# A class to inherit from where there is no such selector. No object of it is made there.
_Inner: Any = _Kind or selectors.SelectSelector

Deliver = Callable[[list[Any]], None]


def check_system() -> None:
    """Raise NotImplementedError if this system has no selector that a poller can wait for."""
    if _Kind is None:
        raise NotImplementedError(
            "socket2.guests.asyncio needs epoll or kqueue, which this system does not have: run asyncio's own loop in"
            " an OS thread of its own, and call the threads of socket2 there through a portal"
        )


class PollerSelector(_Inner):  # type: ignore[misc]
    """A selector whose select() is one wait of `poller`, for all that waits there."""

    def __init__(self, poller: Poller, deliver: Deliver) -> None:
        """`deliver` is called with the waiters that each wait has returned."""
        super().__init__()
        self.poller = poller
        self._deliver = deliver
        self._handle = poller.attach(poller.file(os.dup(self.fileno())))
        self._steps: Generator[Any, None, None] | None = None  # the wait for the inner selector, while it is parked
        self._woken = False

    def modify(self, fileobj: Any, events: int, data: Any = None) -> Any:
        """Change a registration. If the number belongs to another file by now, what was registered before is gone."""
        key = self.get_key(fileobj)
        try:
            if events == key.events:
                self._check(key.fd, events)
            return super().modify(fileobj, events, data)
        except (FileNotFoundError, KeyError):  # super() has unregistered it, or not
            if key.fd in self._fd_to_key:
                self.unregister(fileobj)
            reader, writer = data
            if reader is not None and reader is not key.data[0]:
                return self.register(fileobj, selectors.EVENT_READ, (reader, None))
            if writer is not None and writer is not key.data[1]:
                return self.register(fileobj, selectors.EVENT_WRITE, (None, writer))
            return key

    def _check(self, fd: int, events: int) -> None:
        """Raise FileNotFoundError if epoll(7) does not have this descriptor any more. kqueue(2) takes it anew."""
        if hasattr(selectors, "EpollSelector"):
            import select

            bits = select.EPOLLIN * bool(events & selectors.EVENT_READ)
            self._selector.modify(fd, bits | select.EPOLLOUT * bool(events & selectors.EVENT_WRITE))

    def select(self, timeout: float | None = None) -> Any:
        """Wait up to `timeout` seconds. Return what asyncio's descriptors report; deliver() gets all other waiters."""
        waiters = self.poller.poll(0 if self._watch() else None if timeout is None else max(timeout, 0))
        self.poller.streak = 0
        if waiters:
            self._deliver(waiters)
        if not self._woken:
            return ()
        self._woken = False
        return super().select(0)

    def _watch(self) -> bool:
        """Have the poller wait for the inner selector. Return True if that need not wait."""
        if self._steps is None:
            self._steps = iter(self._handle.wait_readable())
            self._go_on()
        return self._woken

    def _go_on(self) -> None:
        """Resume the wait for the inner selector."""
        steps = self._steps
        assert steps is not None
        direction: Direction | None = next(steps, None)
        if direction is None or direction.park(self._go_on):
            if direction is not None:
                steps.close()
            self._steps = None
            self._woken = True

    def close(self) -> None:
        if self._steps is not None:
            self._steps.close()
        self._handle.close()
        super().close()
