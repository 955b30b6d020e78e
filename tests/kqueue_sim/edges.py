"""Which descriptors to look at again. epoll reports them once per wake-up, separately for readers and writers.

One epoll contains these two and a bell. Its descriptor is the kqueue's: readable while there may be events.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path


class Edges:
    """Watches descriptors with epoll."""

    def __init__(self) -> None:
        self._all = select.epoll()
        try:
            self._readers, self._writers = select.epoll(), select.epoll()
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._all.close()
            raise
        for fd in (self._readers.fileno(), self._writers.fileno(), self._bell):
            self._all.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        return self._all.fileno()

    def close(self) -> None:
        os.close(self._bell)
        for epoll in (self._readers, self._writers, self._all):
            epoll.close()

    def watch(self, fd: int, *, reading: bool) -> None:
        wake_ups = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLPRI if reading else select.EPOLLOUT
        try:
            (self._readers if reading else self._writers).register(fd, wake_ups | select.EPOLLET)
        except FileExistsError:
            pass  # a duplicate was closed, which epoll has not noticed
        except PermissionError:
            pass  # a regular file, which never has anything new to report

    def watches(self, fd: int, *, reading: bool) -> bool:
        """Return whether the file of `fd` is watched: epoll has forgotten it if another one has its number now."""
        epoll = self._readers if reading else self._writers
        lines = Path(f"/proc/self/fdinfo/{epoll.fileno()}").read_text().splitlines()
        return any(line.split()[:2] == ["tfd:", str(fd)] for line in lines)

    def forget(self, fd: int, *, reading: bool) -> None:
        try:
            (self._readers if reading else self._writers).unregister(fd)
        except OSError:
            pass  # closed, or a regular file

    def take(self) -> Iterator[tuple[int, bool]]:
        """Return the wake-ups since the last call: descriptors, and whether each was a reader's."""
        for epoll, reading in ((self._readers, True), (self._writers, False)):
            for fd, _ in epoll.poll(0):
                yield fd, reading

    def ring(self, on: bool) -> None:
        """Keep all sleepers awake, or let them sleep."""
        try:
            if on:
                os.eventfd_write(self._bell, 1)
            else:
                os.eventfd_read(self._bell)
        except BlockingIOError:
            pass

    def sleep(self, timeout_s: float) -> None:
        self._all.poll(timeout_s)
