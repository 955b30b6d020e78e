"""The end of a child process: how a thread waits for it, and who takes its exit code.

Linux has a descriptor for a process, a pidfd, which can be waited for. Elsewhere an OS thread waits. Both only look, if
the system can do that: the exit code is taken afterwards, and the number stays the child's until then. SIGCHLD is not
used: it belongs to the program.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from pollers import Operation, operation

from ..threads.milestone import Milestone
from ..threads.scheduler import PoolThread, current_scheduler


class ExitCode:
    """The exit code of a child: negative for a signal. The system gives it out once."""

    __slots__ = ("lost", "popen")

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.lost = False
        """Whether the system has forgotten it: other code has waited for the child, or SIGCHLD is ignored."""

    def look(self, watched: bool) -> int | None:
        """Return it if the child has ended, None if not. waitpid(2). `watched`: whether there is a Watcher.

        Raises ChildProcessError if it is lost.
        """
        popen = self.popen
        if self.lost:
            raise self._error()
        if popen.returncode is not None or (watched and not _can_look()):  # else the Watcher takes it
            return popen.returncode
        if not hasattr(os, "WNOHANG"):  # Windows, where an exit code is kept
            return popen.poll()
        return self.take(os.WNOHANG)

    def take(self, options: int) -> int | None:
        """Take it from the system. Return None if the child has not ended. Raises as look() does."""
        popen = self.popen
        try:
            pid, status = os.waitpid(popen.pid, options)
        except ChildProcessError:
            self.lost = True
            popen.returncode = 255  # it has ended: nobody is to wait for it or to send it signals
            raise self._error() from None
        if pid:
            popen.returncode = os.waitstatus_to_exitcode(status)
        return popen.returncode

    def _error(self) -> ChildProcessError:
        return ChildProcessError(
            f"the exit code of process {self.popen.pid} is lost: other code has waited for it, or SIGCHLD is ignored"
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

    def __init__(self, code: ExitCode, reap: Callable[[], Any]) -> None:
        self._code = code
        self._reap = reap
        self._end = Milestone(f"end of process {code.popen.pid}")
        self.os_thread = PoolThread(target=self._run, name="socket2 process", daemon=True)
        self.os_thread.start()

    def _run(self) -> None:
        with suppress(ChildProcessError):
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self._code.popen.pid, os.WEXITED | os.WNOWAIT)
            elif hasattr(os, "WNOHANG"):
                self._code.take(0)
            else:
                self._code.popen.wait()
        with suppress(ChildProcessError):
            self._reap()
        self._end.reach()

    def ended(self) -> Operation[None]:
        """Wait until the child has ended."""
        return self._end.reached()


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
