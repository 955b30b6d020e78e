"""The poller of a simulated host: the readiness engine over the kernel in memory. It reports edges as epoll does.

A wait lets the virtual time pass, up to the first thing that a socket of this host has to tell. The real kernel has no
part in it, so there is no descriptor to wake it by.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Collection
from typing import Any

from ..operation import Closed
from ..readiness.handle import Handle
from ..readiness.sharing import ShareableEngine
from .description import ERR, HUP, IN, MSG_NOSIGNAL, OUT, PRI, RDHUP, Description
from .sock import Sock
from .surroundings import Home

_SENDFILE_MAX = 1 << 17

_ALWAYS = RDHUP | PRI | ERR | HUP


class Watch:
    """The registration of one descriptor with one poller, as epoll has it: of the number and of what it refers to."""

    __slots__ = ("bits", "description", "fd", "poller", "queued")

    def __init__(self, poller: Simulated, fd: int, description: Description) -> None:
        self.poller = poller
        self.fd = fd
        self.description: Description | None = description
        self.bits = _ALWAYS
        self.queued = False
        description.watches.append(self)

    def notice(self) -> None:
        """Something has happened. Look at it before the next wait."""
        if not self.queued:
            self.queued = True
            self.poller.noticed.append(self)

    def drop(self) -> None:
        """The description is closed."""
        self.description = None
        self.poller.lose(self)


class _NoWaker:
    """What the engine has in place of a socket pair: rouse() sets a flag."""

    def fileno(self) -> int:
        return -1

    def recv(self, n: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


class Simulated(ShareableEngine):
    """A poller over a simulated kernel."""

    name = "simulated"

    def __init__(self, host: Home) -> None:
        self.host = host
        self.noticed: deque[Watch] = deque()
        self._watches: dict[int, Watch] = {}
        self._roused = False
        self._forever = False
        self._signals: tuple[int, ...] = ()  # a pipe
        super().__init__()
        self.now = host.world.monotonic
        make: Any = host.socket
        self.socket = make
        self.socketpair = host.socketpair

    def make_waker(self) -> tuple[Any, Any]:
        return _NoWaker(), _NoWaker()

    def rouse(self) -> None:
        self._roused = True
        self.host.world.stirred()

    def wakeup_fileno(self) -> int:
        """Return -1, or in a world that has real signals a descriptor of the real kernel, made by the first call."""
        if not self.host.world.has_signals:
            return -1
        if not self._signals:
            self._signals = os.pipe()
            for end in self._signals:
                os.set_blocking(end, False)
        return self._signals[1]

    def _has_signal(self) -> bool:
        if not self._signals:
            return False
        try:
            return bool(os.read(self._signals[0], 4096))
        except BlockingIOError:
            return False

    # Descriptors.

    def adopt(self, fileno: int, /) -> Any:
        return Sock(0, 0, 0, fileno, host=self.host)

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        found = self.host.descriptors
        with self.host.world.lock:
            return (
                {fd for fd in reading if fd in found and found[fd].poll() & (IN | ERR | HUP)},
                {fd for fd in writing if fd in found and found[fd].poll() & (OUT | ERR | HUP)},
            )

    def file(self, fileno: int, /) -> Any:
        raise io.UnsupportedOperation("a simulated kernel has sockets only")

    def foreign(self, fileno: int, writing: bool, /) -> Any:
        raise io.UnsupportedOperation("a simulated kernel has sockets only")

    def sendfile(self, sock: Any, fd: int, offset: int, count: int, /) -> int:
        data = os.pread(fd, min(count, _SENDFILE_MAX), offset)
        sent: int = sock.send(data, MSG_NOSIGNAL) if data else 0
        return sent

    # The back end.

    def arm(self, handle: Handle, bit: int) -> None:
        with self.host.world.lock:
            fd = handle.fd
            description = self.host.descriptors.get(fd)
            if description is None:
                raise Closed()
            watch = self._watches.get(fd)
            if watch is None or watch.description is not description:
                watch = self._watches[fd] = Watch(self, fd, description)
            watch.bits |= bit
            found: Any = description
            if found.poll() & watch.bits:
                watch.notice()
                self.host.world.stirred()

    def disown(self, fd: int) -> None:
        watch = self._watches.pop(fd, None)
        if watch is not None and watch.description is not None:
            watch.description.watches.remove(watch)
            watch.description = None

    def lose(self, watch: Watch) -> None:
        if self._watches.get(watch.fd) is watch:
            del self._watches[watch.fd]

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        self._forever = timeout_s is None
        return super().poll(timeout_s, limit)

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        world = self.host.world
        with world.lock:
            world.calls += 1
            world.settle()
            events = self._take(limit)
            if events or not timeout_s:
                return events
            self._roused = False
            world.wait(
                lambda: self.noticed or self._roused or self._has_signal(),
                None if self._forever else timeout_s,
                is_poll=True,
            )
            return self._take(limit)

    def _take(self, limit: int) -> list[tuple[int, int]]:
        noticed = self.noticed
        if not noticed and self.host.world.faults is None:
            return []
        events: list[tuple[int, int]] = []
        later: list[Watch] = []
        faults = self.host.world.faults
        while noticed and len(events) < limit:
            watch = noticed.popleft()
            watch.queued = False
            if watch.description is None:
                continue
            bits = watch.description.poll() & watch.bits
            if bits:
                if faults is not None and faults.stale(self.host.name, watch.fd, bits):
                    later.append(watch)
                else:
                    events.append((watch.fd, bits))
        for watch in later:
            watch.notice()
        if faults is not None:
            for watch in list(self._watches.values()):
                bits = faults.spurious(self.host.name, watch.fd, watch.bits & (IN | OUT)) & watch.bits
                if bits and len(events) < limit:
                    events.append((watch.fd, bits))
        return events

    def release(self) -> None:
        ends, self._signals = self._signals, ()
        for end in ends:
            os.close(end)
        for fd in list(self._watches):
            self.disown(fd)
