"""Every test starts with a fresh scheduler and leaves nothing behind: no descriptor, OS thread, thread or timer.

If the system has no kqueue, SOCKET2_POLLER=kqueue means a simulated one, in this process but not in its children.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from _pytest.runner import runtestprotocol

import pollers
from pollers.readiness.kqueue import Kqueue
from socket2.threads import osthreads
from socket2.threads.member import current_member
from socket2.threads.scheduler import local

from . import windows
from .contract import driver
from .interop import peers
from .resolver import never_ask_for_invalid_names

if os.environ.get("SOCKET2_POLLER") == "kqueue" and "kqueue" not in pollers.available():
    from .kqueue_sim import simulator

    pollers.register("kqueue", lambda: Kqueue(simulator()))


def do_not_inherit_signals() -> None:
    """Reset inherited signal settings: a background job of a shell ignores SIGINT, a program under nohup SIGHUP."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGALRM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


do_not_inherit_signals()
never_ask_for_invalid_names()

pytest_plugins = ["pytester"]

_DESCRIPTORS = "/proc/self/fd"
_LISTED = os.name == "posix" and Path(_DESCRIPTORS).is_dir()
_LITTLE_S = 3.0


def descriptors() -> set[str]:
    """Return which descriptors are open in this process. Empty if the system does not report it."""
    if not _LISTED:
        return set()
    found = set(os.listdir(_DESCRIPTORS))
    lowest = os.open(os.devnull, os.O_RDONLY)  # the listing itself had it
    os.close(lowest)
    return found - {str(lowest)}


def meaning(fd: str) -> str:
    try:
        return os.readlink(f"{_DESCRIPTORS}/{fd}")
    except FileNotFoundError:
        return ""  # an OS thread has closed it


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Use short names for the tests' directories. Tests bind sockets there, whose paths have at most 103 bytes.

    The directory for temporary files takes 49 of them on macOS.

    Keep bytecode, even if the environment says otherwise, as in many containers: the tests start a thousand
    interpreters, which would each compile our modules again.
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if os.name == "posix" and len(tempfile.gettempdir()) > len("/var/tmp") and not config.option.basetemp:
        config.option.basetemp = tempfile.mkdtemp(prefix="s2-", dir="/tmp")
        config.add_cleanup(partial(shutil.rmtree, config.option.basetemp, ignore_errors=True))
    if limit_s := float(config.getini("hang_limit_s")):
        config.pluginmanager.register(Watchdog(limit_s))


class Watchdog:
    """Ends this process, with the stacks of its OS threads, if a test hangs.

    faulthandler_timeout of pytest does the same, but starts and joins an OS thread for each test. If the machine is
    busy, that takes longer than the test.
    """

    SOON_S = 10.0

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._again_at = 0.0
        self._stderr = os.dup(2)  # tests capture it, and may close it

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if (now := monotonic()) >= self._again_at:
            faulthandler.dump_traceback_later(self._limit_s + self.SOON_S, file=self._stderr, exit=True)
            self._again_at = now + self.SOON_S

    def pytest_exception_interact(self) -> None:
        self._again_at = 0.0  # pytest cancels it here, for a debugger

    def pytest_unconfigure(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        os.close(self._stderr)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("hang_limit_s", "how many seconds a test may take, or 0", default="0")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Do not send what pytest-xdist's controller has no use for: it is one process, and has to read it all."""
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Make 21 000 items without the collector, which would find no garbage among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if unstable := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{6}", item.nodeid)]:
        raise pytest.UsageError(f"test ids contain addresses, which differ between processes: {unstable}")
    for item in items if sys.platform == "win32" else ():
        for listed, run in ((windows.EXPECTED, True), (windows.NOT_RUN, False)):
            reason = windows.reason(item.nodeid, listed)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=run, run=run))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Have no patience with what is expected to fail."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("xfail"):
            patch.setattr(driver, "PATIENCE_S", _LITTLE_S)
            patch.setattr(peers, "LIMIT_S", _LITTLE_S)
        return (yield)


def end(calls: osthreads.Pool) -> None:
    """End the OS threads, also those that have just delivered an outcome and are busy for another moment."""
    with calls._lock:
        busy = {*calls._threads}
        calls._ending |= busy
    calls.end()
    for thread in busy:
        thread.join(_LITTLE_S)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    assert local.scheduler is None
    gc.collect()
    gc.freeze()  # the collector need not look at existing objects again and again
    open_before = descriptors()
    os_threads_before = set(threading.enumerate())
    yield
    peers.free_refusing_ports()
    left: list[str] = []
    scheduler = local.scheduler
    if scheduler is not None:
        left += [f"thread {thread!r}" for thread in scheduler.threads]
        left += [
            f"timer {getattr(timer, 'callback', timer)}"
            for _, _, timer in scheduler.timers.heap
            if timer.due is not None
        ]
        current_member().close()
        local.scheduler = local.member = None
    del scheduler
    for calls in (osthreads.calls, osthreads.lookups):
        end(calls)
    gc.collect()
    left += [f"fd {fd}: {what}" for fd in descriptors() - open_before if (what := meaning(fd))]
    left += [
        f"OS thread {thread.name}"
        for thread in set(threading.enumerate()) - os_threads_before
        if not thread.name.startswith("Trio thread")  # trio keeps idle ones for a while
    ]
    assert not left, f"left behind: {', '.join(left)}"
