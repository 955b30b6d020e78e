"""Finding out what a program is doing: which threads there are, what each waits for, and what keeps it from going on.

What a thread does can be asked at any time. Since when, and who has started it, is known while enable() is in force;
until then nothing is noted down, and nothing costs anything. This room only looks. What it looks at does not know it.

Read `stacks`, where code is; `history`, since when and by whom; `snapshot`, both as data; `listing`, the same as text.
Then who asks: `watchdog`, when something blocks; `inquiry`, another process; `tracing`, the bytes of one socket.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from ..sockets.socket import Socket
from ..threads import stepping
from ..threads.journal import Journal
from ..threads.scheduler import Scheduler, local, schedulers
from ..threads.thread import Thread
from . import history, listing
from .inquiry import Answerer
from .snapshot import LoopStats, Snapshot, ThreadInfo
from .stacks import Place
from .tracing import Trace, Writable
from .watchdog import Watchdog

__all__ = [
    "LoopStats",
    "Place",
    "ThreadInfo",
    "Trace",
    "disable",
    "enable",
    "ps",
    "report",
    "stats",
    "threads",
    "trace",
    "tree",
    "where",
]

log = Journal("socket2")

SIGNAL: int | None = getattr(signal, "SIGUSR1", None)


def ps() -> str:
    """Return a table of the threads of all loops of this process, one line for each."""
    with Snapshot() as now:
        return listing.table(now.threads())


def tree() -> str:
    """Return the table of ps(), each thread below the one that has started it; or, if that is unknown, joins it."""
    with Snapshot() as now:
        return listing.tree(now.threads())


def where(thread: Thread) -> str:
    """Return what a thread is doing and its stack, as a traceback has it: the chain of `yield from` and `await`."""
    with Snapshot() as now:
        return listing.stack(now.of_thread(thread))


def threads() -> list[ThreadInfo]:
    """Return what the threads of all loops of this process are doing, as data."""
    with Snapshot() as now:
        return now.threads()


def stats() -> list[LoopStats]:
    """Return the counters of every loop of this process."""
    with Snapshot() as now:
        return now.loops()


def report(kind: str = "ps") -> str:
    """Return what `python -m socket2 ps` prints: "ps", "tree", "stacks" or "stats", or "everything".

    ValueError for another kind.
    """
    if kind not in listing.REPORTS:
        raise ValueError(f"unknown report {kind!r}: it is one of {', '.join(listing.REPORTS)}")
    return listing.report(kind)


def trace(sock: Socket, to: Writable | None = None, max_bytes: int = 256) -> Trace:
    """Write down what goes through a socket: each receive and send with its bytes, the time, and how it ended.

    `to` has a write() for text, by default stderr; of each piece up to `max_bytes` bytes are shown. It ends with stop()
    of the Trace, or with its block: `with trace(sock): ...`. Attaches the socket, so bind and set it up before. A
    connect that has failed makes a new socket inside, which is not traced. Raises Closed.
    """
    return Trace(sock, to, max_bytes)


class _Debugging:
    """What enable() has started."""

    def __init__(self, slow_s: float | None, signum: int | None, serve: bool) -> None:
        self.settings = (slow_s, signum, serve)
        self.answerer = Answerer()
        self.watchdog = Watchdog(slow_s) if slow_s is not None else None
        self.signum = signum
        self._handler: Any = None
        if serve:
            try:
                self.answerer.listen()
            except OSError as error:
                log.warning("`python -m socket2 ps %d` will not be answered: %s", os.getpid(), error)

    def start(self) -> None:
        self.answerer.start()
        if self.watchdog is not None:
            self.watchdog.start()
        if self.signum is None or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(self.signum) in (signal.SIG_DFL, _on_signal):
            signal.signal(self.signum, _on_signal)

    def stop(self) -> None:
        if self.watchdog is not None:
            self.watchdog.stop()
        if self.signum is not None and signal.getsignal(self.signum) is _on_signal:
            with suppress(ValueError):  # not in the main OS thread: it stays, and does nothing
                signal.signal(self.signum, signal.SIG_DFL)
        self.answerer.stop()


_debugging: _Debugging | None = None


def enable(slow_s: float | None = 0.1, signum: int | None = SIGNAL, serve: bool = True) -> None:
    """From now on note when threads run and wait, answer who asks, and report what blocks a loop.

    `slow_s`: a thread that runs longer than this without a wait is reported to the logger "socket2" with its stack,
    None: none is. `signum`: this signal has everything reported on stderr, unless it has a handler already; None: none
    does. Signals are taken only when this is called in the main OS thread. `serve`: `python -m socket2 ps PID` of this
    user (and root) is answered, where there are UNIX sockets. Called again, it goes by the new arguments. A forked
    child does the same from its first thread on. SOCKET2_DEBUG=1 in the environment calls it when socket2 is imported.
    """
    global _debugging
    disable()
    _debugging = _Debugging(slow_s, signum, serve)
    _debugging.start()
    stepping.starthook = history.adopt
    for each in schedulers():
        if each is local.scheduler:
            _adopt_all(each)
        else:
            with suppress(RuntimeError):  # it has been shut down
                each.post(functools.partial(_adopt_all, each))


def _adopt_all(each: Scheduler) -> None:
    for thread in list(each.threads):
        history.adopt_late(thread)


def disable() -> None:
    """Take back what enable() has done. Without it, nothing happens."""
    global _debugging
    ending, _debugging = _debugging, None
    stepping.starthook = None
    if ending is not None:
        ending.stop()


def _on_signal(signum: int, frame: FrameType | None) -> None:
    if _debugging is not None:
        _debugging.answerer.ask()


atexit.register(disable)


def _after_fork_in_child() -> None:
    """The OS threads are the parent's; new ones are made when there is something to tell."""
    global _debugging
    if _debugging is not None:
        settings = _debugging.settings
        _debugging.answerer.forget()
        _debugging = None
        history.overran = None

        def enable_again(thread: Thread, starter: Thread | None) -> None:
            enable(*settings)
            history.adopt(thread, starter)

        stepping.starthook = enable_again


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
