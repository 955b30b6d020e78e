"""The loop of this OS thread, as functions: start threads, run them, stop.

The public face of the scheduler, which is made when one of these is first called.
"""

from __future__ import annotations

from typing import Any

from . import joining
from .member import current_member
from .resolver import Resolver, check_resolver
from .scheduler import current_scheduler
from .thread import Thread


def newthread(func: Any, *args: Any, name: str | None = None) -> Thread:
    """Start a thread now and return it at its first wait, or at its end if it never waits.

    Called in a thread that several OS threads serve, it returns at once, and any of them takes the new thread's first
    step: that may block, and delays its creator never.

    `func` is a generator function, an `async def` function or a plain one, called with `args`; or a generator or
    coroutine that exists already. `name`: for people, by default the function's. The thread has a copy of the caller's
    contextvars. An exception that it ends with is kept for join(); when nobody joins at that moment it is also reported
    to crashhook(), and the loop goes on. TypeError when `func` cannot be called, or not with these arguments.
    (luapower's newthread)
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a thread's name is text, not {name!r}")
    return current_member().newthread(func, args, name)


def now() -> float:
    """Return what time it is for the loop of this OS thread, in seconds: the clock of all its sleeps and deadlines.

    It never goes back. It is time.monotonic(), unless the poller has another clock.
    """
    return current_scheduler().now()


def poll(timeout: float | None = None) -> bool:
    """Wait up to `timeout` seconds (None: for ever; negative: 0) for something to happen; resume who waits for it.

    Return False when the time is over, when nothing is left to wait for, or on stop(). Raises KeyboardInterrupt, and
    what a thread raises as SystemExit or KeyboardInterrupt; RuntimeError inside a thread. (luapower's poll)
    """
    return current_member().poll(timeout)


def start(timeout: float | None = None, *, resolver: Resolver | None = None) -> bool:
    """Poll until stop(), or until nothing is left to wait for; return True then.

    Return False when nothing has happened for `timeout` seconds: an idle timeout, not a deadline. May be called again.
    A stop() that came before counts, once. `resolver` as in run(). Raises as poll() does. (luapower's start)
    """
    if resolver is None:
        return current_member().start(timeout)
    with _asking(resolver):
        return current_member().start(timeout)


def stop(all: bool = False) -> None:
    """Make the loop of this OS thread end after its present turn, or the next one that is started end at once.

    Threads stay as they are, and a later start() or run() carries them on. A signal handler may call it.
    `all`: the loops of all OS threads that serve the same scheduler now.
    """
    member = current_member()
    if all:
        joining.stop_all(member.scheduler)
    member.stop()


def run(main: Any, *args: Any, resolver: Resolver | None = None) -> Any:
    """Start a thread (as newthread does), run the loop until it ends, and return or raise its outcome.

    Other threads that are still alive stay as they are: a later run() or start() carries them on. Ctrl-C cancels the
    main thread, and KeyboardInterrupt is raised once it has ended; a second one is raised at once. RuntimeError on
    stop(), in a thread, and on a deadlock: when nothing is left, not even another OS thread, to wake the main thread.

    `resolver`: who looks up names for all threads of this loop until run() ends; by default the system, in OS threads.
    `main` is not given it: TypeError when it is no Resolver.
    """
    if resolver is None:
        return current_member().run(main, *args)
    with _asking(resolver):
        return current_member().run(main, *args)


class _asking:
    """A block in which names are looked up by another resolver."""

    def __init__(self, resolver: Resolver) -> None:
        check_resolver(resolver)
        self._scheduler = current_scheduler()
        self._resolver = resolver

    def __enter__(self) -> None:
        self._former, self._scheduler.resolver = self._scheduler.resolver, self._resolver

    def __exit__(self, *_: object) -> None:
        self._scheduler.resolver = self._former


def epoll_fd(fd: int | None = None) -> int:
    """Return the descriptor of the epoll instance that this OS thread waits on; with `fd`, join the others there.

    `fd` is what epoll_fd() has returned in another OS thread. From then on this OS thread serves the same scheduler:
    poller, threads, timers and the ready queue are one, any member resumes any thread, each thread runs in one OS
    thread at a time, and a step that blocks delays nobody else. Call start() then; when that ends, this OS thread is
    on its own again. If the other's loop is running, it is joined between two steps: that is waited for.

    ValueError when `fd` is no epoll descriptor of a scheduler in this process. RuntimeError when this OS thread has
    live threads or open sockets of its own. OSError when its poller is another one. The descriptor is the poller's: do
    not close it. (luapower's epoll_fd)
    """
    return joining.descriptor("epoll") if fd is None else joining.join("epoll", fd)


def kqueue_fd(fd: int | None = None) -> int:
    """As epoll_fd(), where the poller is kqueue: return its descriptor; with `fd`, join the others there.

    No forked child inherits it.
    """
    return joining.descriptor("kqueue") if fd is None else joining.join("kqueue", fd)


def iocp(handle: int | None = None) -> int:
    """As epoll_fd(), where the poller is a completion port (Windows), whose handle stands for the descriptor."""
    return joining.descriptor("iocp") if handle is None else joining.join("iocp", handle)


def serve_threads(count: int, *, resolver: Resolver | None = None) -> bool:
    """As start(), with `count` OS threads, this one and new ones, serving its threads together.

    Ends when nothing is left to wait for, when the loop of this OS thread is stopped, or by stop(all=True); the new OS
    threads have ended then, too, except after an exception: what a member's loop raises ends all, and is raised here.
    They do not keep the interpreter from its end. `resolver` as in run(). ValueError for less than 1; RuntimeError
    inside a thread or a loop.
    """
    if resolver is None:
        return joining.serve(count)
    with _asking(resolver):
        return joining.serve(count)
