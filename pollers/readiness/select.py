"""The reference poller for any system: poll(2), or select(2) if there is no poll(2).

Both are level-triggered: they report a ready descriptor again and again. The engine expects edges. So a descriptor that
was reported leaves the set, and returns to it before the next wait if an operation is still parked on it.
"""

from __future__ import annotations

import errno
import math
import os
import select

from ..lock import lock
from ..probe import is_open
from .handle import Handle
from .interface import HUNG_UP, READABLE, WRITABLE
from .sharing import ShareableEngine

# FD_SETSIZE. On POSIX systems descriptors must be lower than this. On Windows there can be only this many in a set.
_DESCRIPTORS_MAX = 1024 if os.name != "nt" else 512


class Select(ShareableEngine):
    """poll(2), or select(2) with its limit on descriptors if the system has no poll(2)."""

    name = "select"
    misses_what_is_armed_meanwhile = True

    def __init__(self, *, use_poll: bool = hasattr(select, "poll")) -> None:
        self._set = _PollSet() if use_poll else _SelectSet()
        self._reported: list[int] = []
        super().__init__()
        self._set.watch(self._wake_receiver.fileno(), READABLE)

    def arm(self, handle: Handle, bit: int) -> None:
        self._set.watch(handle.fd, handle.armed | bit)

    def disown(self, fd: int) -> None:
        self._set.watch(fd, 0)

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        with lock:
            for handle in self._handles_of(self._reported):
                self._put_back(handle)
        events = self._set.wait(timeout_s)[:limit]
        with lock:
            self._reported = [fd for fd, _ in events]
            for handle in self._handles_of(self._reported):
                handle.armed = 0
                self._set.watch(handle.fd, 0)
        return events

    def _handles_of(self, fds: list[int]) -> list[Handle]:
        return [handle for fd in fds if (handle := self._handles.get(fd)) is not None]

    def _put_back(self, handle: Handle) -> None:
        wanted = handle.armed
        for side in (handle.reading, handle.writing):
            if side.parked:
                wanted |= side.bit
        if wanted != handle.armed:
            self._set.watch(handle.fd, wanted)
            handle.armed = wanted


class _PollSet:
    def __init__(self) -> None:
        self._poll = select.poll()
        self._hang_up = getattr(select, "POLLRDHUP", 0)

    def watch(self, fd: int, bits: int) -> None:
        if not bits:
            try:
                self._poll.unregister(fd)
            except KeyError:
                pass
            return
        # Only a reader watches for a hang-up: the bit stays set, and would wake a waiting writer again and again.
        mask = select.POLLIN | select.POLLPRI | self._hang_up if bits & READABLE else 0
        self._poll.register(fd, mask | (select.POLLOUT if bits & WRITABLE else 0))

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        timeout_ms = None if timeout_s is None else math.ceil(timeout_s * 1000)
        return [(fd, _bits(mask)) for fd, mask in self._poll.poll(timeout_ms)]


def _bits(mask: int) -> int:
    bits = READABLE * bool(mask & select.POLLIN) | WRITABLE * bool(mask & select.POLLOUT)
    return bits | (HUNG_UP if mask & ~(select.POLLIN | select.POLLOUT) else 0)


class _SelectSet:
    def __init__(self) -> None:
        self._bits: dict[int, int] = {}
        self._changes = 0

    def watch(self, fd: int, bits: int) -> None:
        self._changes += 1
        if not bits:
            self._bits.pop(fd, None)
        elif (fd if os.name != "nt" else len(self._bits | {fd: 0}) - 1) >= _DESCRIPTORS_MAX:
            raise OSError(errno.EMFILE, f"select(2) takes no descriptor above {_DESCRIPTORS_MAX - 1}")
        else:
            self._bits[fd] = bits

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        changes, watched = self._changes, list(self._bits.items())
        readers = [fd for fd, bits in watched if bits & READABLE]
        writers = [fd for fd, bits in watched if bits & WRITABLE]
        # Round up to whole milliseconds, since a system may round down.
        wait_s = None if timeout_s is None else math.ceil(timeout_s * 1000) / 1000
        try:
            # Winsock reports a refused connect only in the third set.
            readable, writable, failed = select.select(readers, writers, writers, wait_s)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOTSOCK):
                raise
            closed = [fd for fd, _ in watched if not is_open(fd)]
            if not closed and self._changes == changes:
                raise
            # Either somebody else has closed the descriptors, and their operations find out, or their owner has closed
            # them in another OS thread.
            return [(fd, READABLE | WRITABLE) for fd in closed]
        found = dict.fromkeys(readable, READABLE)
        for fd in writable:
            found[fd] = found.get(fd, 0) | WRITABLE
        for fd in failed:
            found[fd] = found.get(fd, 0) | WRITABLE
        return list(found.items())
