"""Debugging: which threads a program has, what each waits for, and what keeps one from running.

You can ask at any time what a thread is doing. The time of its start, and the thread that started it, are recorded only
while enable() is in force; until then nothing is recorded and nothing costs anything. This room knows how to find what
a thread waits for. It only observes, and threads, sockets and streams must not know it.

Read `stacks` first: where code is. `history`: times and starters. `snapshot`: both as data. `backlog`: queues. `facts`:
all of this as JSON. `listing`: as text. Then the modules that ask: `watchdog`, if something blocks; `inquiry`, from
another process; `tracing`, for the bytes of one socket.
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
from ..threads import exchange, stepping
from ..threads.ctrl_c import wakes_nobody
from ..threads.journal import Journal
from ..threads.scheduler import Scheduler, local, schedulers
from ..threads.thread import Thread
from . import backlog, history, listing
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

log = Journal("socket2.debug")

SIGNAL: int | None = getattr(signal, "SIGUSR1", None)


def ps() -> str:
    """Return a table of all threads in this process, one line for each."""
    with Snapshot() as now:
        return listing.table(now.threads())


def tree() -> str:
    """Return the table of ps() as a tree: each thread below the one that started it or, if unknown, that joins it."""
    with Snapshot() as now:
        return listing.tree(now.threads())


def where(thread: Thread[object]) -> str:
    """Return what a thread is doing, and its stack as in a traceback: the chain of `yield from` and `await`."""
    with Snapshot() as now:
        return listing.stack(now.of_thread(thread))


def threads() -> list[ThreadInfo]:
    """Return what all threads in this process are doing, as data."""
    with Snapshot() as now:
        return now.threads()


def stats() -> list[LoopStats]:
    """Return the counters of every loop in this process."""
    with Snapshot() as now:
        return now.loops()


def report(kind: str = "ps") -> str:
    """Return what `python -m socket2 ps` prints: "ps", "tree", "stacks", "stats" or "json"; or "everything".

    "facts" is "json" without the threads. Raises ValueError if `kind` is another word.
    """
    if kind not in listing.REPORTS:
        raise ValueError(f"unknown report {kind!r}: expected one of {', '.join(listing.REPORTS)}")
    return listing.report(kind)


def trace(sock: Socket, to: Writable | None = None, max_bytes: int = 256) -> Trace:
    """Log the traffic of a socket: each send and receive with its bytes, the time, and how it ended.

    `to`: an object with write() for text, by default stderr. `max_bytes`: how many bytes of each piece to show. The
    trace ends with its stop() method or its block: `with trace(sock): ...`. It attaches the socket, so bind and set it
    up before. After a failed connect the socket inside is a new one, which is not traced. Raises Closed.
    """
    return Trace(sock, to, max_bytes)


class _Debugging:
    """Everything that enable() has started."""

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
                log.warning("`python -m socket2 ps %d` will get no answer: %s", os.getpid(), error, about={})

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
            with suppress(ValueError):  # not in the main OS thread: the handler stays, and does nothing
                signal.signal(self.signum, signal.SIG_DFL)
        self.answerer.stop()


_debugging: _Debugging | None = None


def enable(slow_s: float | None = 0.1, signum: int | None = SIGNAL, serve: bool = True) -> None:
    """Start to record when threads run and wait, to answer inquiries, and to report what blocks a loop.

    `slow_s`: a thread that runs longer than this without waiting is logged to "socket2.debug" with its stack; None logs
    none. `signum`: this signal prints a full report on stderr, unless it has a handler already; None sets none. Signal
    handlers can be set only in the main OS thread. `serve`: answer `python -m socket2 ps PID` from the same user and
    from root, if the system has UNIX sockets. A further call replaces the arguments. A forked child does the same once
    it starts a thread. SOCKET2_DEBUG=1 in the environment calls enable() when socket2 is imported.
    """
    global _debugging
    disable()
    _debugging = _Debugging(slow_s, signum, serve)
    _debugging.start()
    stepping.starthook = history.adopt
    exchange.madehook = backlog.note
    for each in schedulers():
        if each is local.scheduler:
            _adopt_all(each)
        else:
            with suppress(RuntimeError):  # the scheduler has been shut down
                each.post(functools.partial(_adopt_all, each))


def _adopt_all(each: Scheduler) -> None:
    for thread in list(each.threads):
        history.adopt_late(thread)


def disable() -> None:
    """Undo enable(). Does nothing if it was not called."""
    global _debugging
    ending, _debugging = _debugging, None
    stepping.starthook = exchange.madehook = None
    if ending is not None:
        ending.stop()


@wakes_nobody
def _on_signal(signum: int, frame: FrameType | None) -> None:
    if _debugging is not None:
        _debugging.answerer.ask()


atexit.register(disable)


def _after_fork_in_child() -> None:
    """Forget the parent's OS threads. New ones start with the child's first thread."""
    global _debugging
    if _debugging is not None:
        settings = _debugging.settings
        _debugging.answerer.forget()
        _debugging = None
        history.overran = None

        def enable_again(thread: Thread[object], starter: Thread[object] | None) -> None:
            enable(*settings)
            history.adopt(thread, starter)

        stepping.starthook = enable_again


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
