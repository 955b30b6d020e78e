"""Every test starts with a fresh scheduler and leaves nothing behind: no descriptor, OS thread, thread or timer.

If the system has no kqueue, SOCKET2_POLLER=kqueue means a simulated one, in this process but not in its children.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

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

_DESCRIPTORS = Path("/proc/self/fd")
_LITTLE_S = 3.0


def descriptors() -> dict[str, str]:
    """Return what is open in this process, by descriptor. Empty if the system does not report it."""
    found = {}
    for entry in _DESCRIPTORS.iterdir() if os.name == "posix" and _DESCRIPTORS.is_dir() else ():
        try:
            found[entry.name] = os.readlink(entry)
        except FileNotFoundError:
            pass  # the descriptor of the listing itself
    return found


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if unstable := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{6}", item.nodeid)]:
        raise pytest.UsageError(f"test ids contain addresses, which differ between processes: {unstable}")
    for item in items if sys.platform == "win32" else ():
        for listed, run in ((windows.EXPECTED, True), (windows.NOT_RUN, False)):
            reason = windows.reason(item.nodeid, listed)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=run, run=run))


@pytest.fixture(autouse=True)
def no_patience_with_what_is_expected_to_fail(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("xfail"):
        monkeypatch.setattr(driver, "PATIENCE_S", _LITTLE_S)
        monkeypatch.setattr(peers, "LIMIT_S", _LITTLE_S)


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
    left += [f"fd {fd}: {what}" for fd, what in descriptors().items() if fd not in open_before]
    left += [f"OS thread {thread.name}" for thread in set(threading.enumerate()) - os_threads_before]
    assert not left, f"left behind: {', '.join(left)}"
