"""What a test has left behind: threads, timers and sockets of its loop; descriptors and OS threads of the process.

Knows where the scheduler and the system list them. Names them only if the counts tell that something is left.
"""

from __future__ import annotations

import gc
import os
import stat
import threading
from collections.abc import Iterator
from time import sleep as pause

from ..debug.snapshot import Snapshot, ThreadInfo
from ..files.fdstream import FdStream
from ..sockets.socket import Socket
from ..threads.scheduler import PoolThread, Scheduler

# The system's lists of the descriptors of this process: on Linux; on macOS and the BSDs.
_LISTS = ("/proc/self/fd", "/dev/fd")

# What has just done its work, in another OS thread, needs a moment to end.
_PATIENCE_S = 0.5
_PAUSE_S = 0.005


def descriptors() -> frozenset[int]:
    """Return which descriptors are open in this process. Empty if the system does not list them."""
    for path in _LISTS:
        try:
            listed = os.listdir(path)
            lowest = os.open(os.devnull, os.O_RDONLY)  # the listing itself had it
        except OSError:
            continue
        os.close(lowest)
        return frozenset(int(name) for name in listed) - {lowest}
    return frozenset()


def meaning(fd: int) -> str:
    """Return what a descriptor is, as far as the system tells. '' if it is closed."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return ""
    try:
        return os.readlink(f"{_LISTS[0]}/{fd}")
    except OSError:
        return {stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe", stat.S_IFREG: "file"}.get(stat.S_IFMT(mode), "open")


class Remains:
    """What has come since it was made: `left()` lists it. Make it when the scheduler is new."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._os_threads = frozenset(threading.enumerate())
        self._descriptors = descriptors()

    def left(self) -> list[str]:
        """Return what goes away neither with the next garbage collection nor within a moment."""
        found = [*self._threads(), *self._timers()]
        if self._uses_system():
            gc.collect()
            for _ in range(int(_PATIENCE_S / _PAUSE_S)):
                if not self._uses_system():
                    return found
                if not found:
                    pause(_PAUSE_S)
            found += [*self._open(), *(f"OS thread {thread.name!r}" for thread in self._new_os_threads())]
        return found

    def _threads(self) -> Iterator[str]:
        if self._scheduler.threads:
            with Snapshot() as now:
                for info in now.threads():
                    if info.thread.scheduler is self._scheduler:
                        yield _told(info)

    def _timers(self) -> Iterator[str]:
        if self._scheduler.threads:
            return  # they are the threads' own, so far as anyone can tell
        for _, serial, timer in self._scheduler.timers.heap:
            if timer.due is not None and timer.serial == serial:
                yield f"timer {getattr(timer, 'callback', timer)!r}"

    def _uses_system(self) -> bool:
        return bool(self._scheduler.poller.stats().attached or self._new_descriptors() or self._new_os_threads())

    def _new_descriptors(self) -> frozenset[int]:
        return descriptors() - self._descriptors

    def _new_os_threads(self) -> list[threading.Thread]:
        new = [thread for thread in threading.enumerate() if thread not in self._os_threads]
        return [thread for thread in new if not isinstance(thread, PoolThread)]

    def _open(self) -> Iterator[str]:
        """Describe the open sockets and descriptors, the former with the line that made them."""
        new = self._new_descriptors()
        named = set()
        for made in gc.get_objects():
            if isinstance(made, (Socket, FdStream)) and not made.closed and made.fileno() in new:
                named.add(made.fileno())
                yield f"{made!r}, made at {made._made_at}"
        yield from (f"descriptor {fd}: {what}" for fd in sorted(new - named) if (what := meaning(fd)))
        attached = self._scheduler.poller.stats().attached
        if not new and attached:
            yield f"{attached} sockets"


def _told(info: ThreadInfo) -> str:
    does = f"waiting for {info.waits_for}" if info.waits_for else info.state
    return f"thread {info.name!r}, {does}" + (f", at {info.at}" if info.at else "")
