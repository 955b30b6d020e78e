"""The end of a child process: how a thread waits for it, and who takes its exit code.

Linux has a descriptor for a process, a pidfd, which can be waited for. Elsewhere an OS thread waits. Both only look:
reap() takes the exit code afterwards, so the number stays the child's until then. SIGCHLD is not used: it belongs to
the program.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from pollers import operation

from ..threads.scheduler import PoolThread, Scheduler, current_scheduler
from ..threads.thread import currentthread
from ..threads.wait import Wait


def reap(popen: subprocess.Popen[bytes], watcher: Watcher | None) -> int | None:
    """Return the exit code of a child that has ended, negative for a signal; None if it has not ended. waitpid(2).

    Raises ChildProcessError if the system has forgotten the exit code.
    """
    if watcher is not None and watcher.lost:
        raise _lost(popen.pid)
    if popen.returncode is not None or (watcher is not None and not _can_look()):
        return popen.returncode
    if not hasattr(os, "WNOHANG"):  # Windows, where an exit code is kept
        return popen.poll()
    return take(popen, os.WNOHANG)


def take(popen: subprocess.Popen[bytes], options: int) -> int | None:
    """Take the exit code from the system."""
    try:
        pid, status = os.waitpid(popen.pid, options)
    except ChildProcessError:
        popen.returncode = 255  # it has ended: nobody is to wait for it or to send it signals
        raise _lost(popen.pid) from None
    if pid:
        popen.returncode = os.waitstatus_to_exitcode(status)
    return popen.returncode


def _lost(pid: int) -> ChildProcessError:
    return ChildProcessError(
        f"the exit code of process {pid} is lost: other code has waited for it, or SIGCHLD is ignored"
    )


def _can_look() -> bool:
    """Whether the system can wait for the end of a child and leave the exit code. Not macOS before Python 3.13."""
    return hasattr(os, "waitid") or not hasattr(os, "WNOHANG")


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the child ends, or None if there is none. pidfd_open(2)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # an old kernel, a filter of system calls, or no descriptor is left


class Watcher:
    """An OS thread that waits until a child has ended, and then calls `reap`. A child has at most one."""

    def __init__(self, popen: subprocess.Popen[bytes], reap: Callable[[], Any]) -> None:
        self._popen = popen
        self._reap = reap
        self._changed = threading.Lock()
        self._over = False
        self.lost = False  # the system has forgotten the exit code
        self._waits: list[tuple[Scheduler, Wait]] = []
        self.os_thread = PoolThread(target=self._run, name="socket2 process", daemon=True)
        self.os_thread.start()

    def _run(self) -> None:
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        elif not hasattr(os, "WNOHANG"):
            self._popen.wait()
        else:
            try:
                take(self._popen, 0)
            except ChildProcessError:
                self.lost = True
        with suppress(ChildProcessError):
            self._reap()
        with self._changed:
            self._over = True
            waits, self._waits = self._waits, []
        for scheduler, wait in waits:
            with suppress(RuntimeError):  # the loop has been shut down
                scheduler.post(wait.finish)

    @operation
    def ended(self) -> Generator[Any, None, None]:
        """Wait until the child has ended."""
        wait = Wait(f"end of process {self._popen.pid}")
        with self._changed:
            if self._over:
                return
            self._waits.append((currentthread().scheduler, wait))
        yield from wait.wait()


@operation
def ended(pidfd: int) -> Generator[Any, None, None]:
    """Wait until the child has ended. This closes the pidfd. Raises io.UnsupportedOperation if the poller cannot."""
    poller = current_scheduler().poller
    try:
        handle = poller.attach(poller.file(pidfd))
    except BaseException:
        os.close(pidfd)
        raise
    try:
        yield from handle.wait_readable()
    finally:
        handle.close()


def block_until_readable(pidfd: int, limit_s: float) -> None:
    """Wait in this OS thread until the child has ended, but not longer than `limit_s`. This closes the pidfd."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        poll.poll(limit_s * 1000)
    finally:
        os.close(pidfd)
