"""The loop of this OS thread, as functions: start threads, run them, stop.

The public face of the scheduler, which is made when one of these is first called.
"""

from __future__ import annotations

from typing import Any

from .member import current_member
from .thread import Thread


def newthread(func: Any, *args: Any, name: str | None = None) -> Thread:
    """Start a thread now and return it at its first wait, or at its end if it never waits.

    `func` is a generator function, an `async def` function or a plain one, called with `args`; or a generator or
    coroutine that exists already. The thread has a copy of the caller's contextvars. An exception that it ends with is
    kept for join(); when nobody joins at that moment it is also reported to crashhook(), and the loop goes on.
    TypeError when `func` cannot be called, or not with these arguments. (luapower's newthread)
    """
    return current_member().newthread(func, args, name)


def poll(timeout: float | None = None) -> bool:
    """Wait up to `timeout` seconds (None: for ever; negative: 0) for something to happen; resume who waits for it.

    Return False when the time is over, when nothing is left to wait for, or on stop(). Raises KeyboardInterrupt, and
    what a thread raises as SystemExit or KeyboardInterrupt; RuntimeError inside a thread. (luapower's poll)
    """
    return current_member().poll(timeout)


def start(timeout: float | None = None) -> bool:
    """Poll until stop(), or until nothing is left to wait for; return True then.

    Return False when nothing has happened for `timeout` seconds: an idle timeout, not a deadline. May be called again.
    A stop() that came before counts, once. Raises as poll() does. (luapower's start)
    """
    return current_member().start(timeout)


def stop() -> None:
    """Make the loop of this OS thread end after its present turn, or the next one that is started end at once."""
    current_member().stop()


def run(main: Any, *args: Any) -> Any:
    """Start a thread (as newthread does), run the loop until it ends, and return or raise its outcome.

    Other threads that are still alive stay as they are: a later run() or start() carries them on. Ctrl-C cancels the
    main thread, and KeyboardInterrupt is raised once it has ended; a second one is raised at once. RuntimeError on
    stop(), in a thread, and on a deadlock: when nothing is left, not even another OS thread, to wake the main thread.
    """
    return current_member().run(main, *args)


def epoll_fd() -> int:
    """Return the descriptor of the epoll instance that this OS thread's scheduler waits on.

    OSError when its poller is another one. The descriptor is the poller's: do not close it.
    """
    scheduler = current_member().scheduler
    if scheduler.poller.name != "epoll":
        raise OSError(f"the poller of this OS thread is {scheduler.poller.name!r}, not 'epoll'")
    return scheduler.poller.fileno()
