"""The public functions for the loop of this OS thread: start threads, run the loop, stop it.

The first call of one of them creates the scheduler of this OS thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, overload

from pollers import Operation

from . import joining
from .coroutines import A, P, S, T, Ts, Y, explain_missing, with_kwargs
from .member import current_member
from .resolver import Resolver, check_resolver
from .scheduler import current_scheduler
from .thread import Thread


@overload
def newthread(func: Generator[Y, S, T] | Awaitable[T], /, *, name: str | None = None) -> Thread[T]: ...
@overload
def newthread(func: Callable[[*Ts], Generator[Y, S, T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
@overload
def newthread(func: Callable[[*Ts], Coroutine[Y, S, T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
@overload
def newthread(func: Callable[[*Ts], Operation[T]], /, *args: *Ts, name: str | None) -> Thread[T]: ...
@overload
def newthread(func: Callable[[*Ts], A], /, *args: *Ts, name: str | None) -> Thread[Any]: ...
@overload
def newthread(func: Callable[[*Ts], T], /, *args: *Ts, name: str | None) -> Thread[T]: ...
@overload
def newthread(func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def newthread(func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def newthread(func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
@overload
def newthread(func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Thread[Any]: ...
@overload
def newthread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]: ...
def newthread(func: Any, /, *args: Any, name: str | None = None, **kwargs: Any) -> Thread[Any]:  # type: ignore[misc]
    """Start a thread, run it until its first wait, and return it.

    `func` is a generator function, an `async def` function or a plain function, which is called with `args` and
    `kwargs`. If a plain function returns an operation or another awaitable, the thread awaits it. `func` may also be a
    generator, a coroutine or an operation that exists already. The thread gets a copy of the caller's contextvars.

    `name` appears in messages; by default it is the function's name. It is never passed to `func`: if `func` has a
    parameter of that name, pass it by position, or use functools.partial().

    A type checker knows from `func` what the thread returns, and checks the arguments. If a call has `name`, it accepts
    arguments by position only: use functools.partial() for others. The type of a generator function must be
    `Generator[..., ..., T]`, since `Iterator[...]` does not tell what it returns.

    If several OS threads serve the scheduler, newthread() called in a thread returns at once. Any of these OS threads
    then takes the first step of the new thread. If that step blocks, the caller is not delayed.

    If the thread ends with an exception, join() raises it. If no thread is joining at that moment, crashhook() reports
    it, and the loop goes on. Raises TypeError if `func` cannot be called, or not with these arguments, and RuntimeError
    if it is a generator or coroutine that has begun. The thread has not been started then. (luapower's newthread)
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"the name of a thread must be a str, not {name!r}")
    if kwargs:
        func = with_kwargs(func, kwargs)
    try:
        return current_member().newthread(func, args, name)
    except TypeError as error:
        if name is not None:
            explain_missing(error, func, "name", "newthread")
        raise


def now() -> float:
    """Return the time in seconds, on the clock that the loop of this OS thread uses for all sleeps and deadlines.

    This clock never goes back. It is time.monotonic() unless the poller has another clock.
    """
    return current_scheduler().now()


def poll(timeout: float | None = None) -> bool:
    """Wait up to `timeout` seconds for something to happen, resume the threads that waited for it, and return True.

    None means no limit. A negative number means 0. Return False if the time is over, if nothing is left to wait for, or
    if stop() was called. Raises KeyboardInterrupt after Ctrl-C; a SystemExit or KeyboardInterrupt that ended a thread;
    RuntimeError inside a thread, or if the loop is already running; TypeError if `timeout` is not a number; ValueError
    if it is NaN. (luapower's poll)
    """
    return current_member().poll(timeout)


def start(timeout: float | None = None, *, resolver: Resolver | None = None) -> bool:
    """Run the loop until stop() is called or nothing is left to wait for, and return True.

    Return False if nothing happens for `timeout` seconds. This is an idle timeout, not a deadline. Threads that are
    still alive keep their state, and a later start() or run() continues them; at the exit they are cancelled, as in
    run(). `resolver` is as in run().
    Raises the same errors as poll(). (luapower's start)
    """
    if resolver is None:
        return current_member().start(timeout)
    with _resolving_with(resolver):
        return current_member().start(timeout)


def stop(all: bool = False) -> None:
    """End the loop of this OS thread after its current turn. If no loop runs, the next one ends at once.

    With `all`, end the loops of all OS threads that serve the same scheduler now. Threads keep their state, and a later
    start() or run() continues them. A signal handler may call this. (luapower's stop)
    """
    member = current_member()
    if all:
        joining.stop_all(member.scheduler)
    member.stop()


@overload
def run(main: Generator[Y, S, T] | Awaitable[T], /, *, resolver: Resolver | None = None) -> T: ...
@overload
def run(main: Callable[[*Ts], Generator[Y, S, T]], /, *args: *Ts, resolver: Resolver | None) -> T: ...
@overload
def run(main: Callable[[*Ts], Coroutine[Y, S, T]], /, *args: *Ts, resolver: Resolver | None) -> T: ...
@overload
def run(main: Callable[[*Ts], Operation[T]], /, *args: *Ts, resolver: Resolver | None) -> T: ...
@overload
def run(main: Callable[[*Ts], A], /, *args: *Ts, resolver: Resolver | None) -> Any: ...
@overload
def run(main: Callable[[*Ts], T], /, *args: *Ts, resolver: Resolver | None) -> T: ...
@overload
def run(main: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def run(main: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def run(main: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def run(main: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
@overload
def run(main: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
def run(main: Any, /, *args: Any, resolver: Resolver | None = None, **kwargs: Any) -> Any:  # type: ignore[misc]
    """Start a thread as newthread() does, run the loop until this main thread ends, and return or raise its outcome.

    Other threads that are still alive then keep their state, and a later run() or start() continues them. At the exit
    of the process, those of the main OS thread's loop are cancelled, and may clean up for one second at most. The first
    Ctrl-C cancels the main thread, and run() raises KeyboardInterrupt when that has ended, even if it then returns. A
    SystemExit that another thread ends with, or that a signal handler raises, does the same, and run() then raises the
    SystemExit. If the main thread ends with an error of its own, run() raises that instead. A second Ctrl-C or
    SystemExit is raised at once.

    `resolver` looks up names for all threads of this loop until run() ends. By default the system does that, in OS
    threads. `resolver` is never passed to `main`, and type checkers treat it as newthread() treats `name`.

    Raises RuntimeError if stop() is called before the main thread ends; inside a thread, or if the loop is already
    running; and on a deadlock, that is, if nothing can wake the main thread any more, not even another OS thread.
    Raises TypeError if `main` cannot be called, or not with these arguments, or if `resolver` is not a Resolver.
    (luapower's run)
    """
    if kwargs:
        main = with_kwargs(main, kwargs)
    if resolver is None:
        return current_member().run(main, args)
    with _resolving_with(resolver):
        try:
            return current_member().run(main, args)
        except TypeError as error:
            explain_missing(error, main, "resolver", "run")
            raise


class _resolving_with:
    """A block in which the loop uses another resolver."""

    def __init__(self, resolver: Resolver) -> None:
        check_resolver(resolver)
        self._scheduler = current_scheduler()
        self._resolver = resolver

    def __enter__(self) -> None:
        self._former, self._scheduler.resolver = self._scheduler.resolver, self._resolver

    def __exit__(self, *_: object) -> None:
        self._scheduler.resolver = self._former


def epoll_fd(fd: int | None = None) -> int:
    """Return the descriptor of the epoll instance that this OS thread waits on. With `fd`, join that scheduler first.

    `fd` is what epoll_fd() returned in another OS thread. From then on both OS threads are members of one scheduler:
    they share its poller, its threads, its timers and its ready queue. Any member resumes any thread, but only one at a
    time runs the same thread. A step that blocks delays other threads by at most 4 ms, if it releases the GIL and
    another member is free. If the loop of the other OS thread is running, this call waits until that loop is between
    two steps. Call start() next. When start() ends, this OS thread leaves the scheduler.

    The descriptor belongs to the poller: do not close it. Raises ValueError if `fd` is not an epoll descriptor of a
    scheduler in this process; RuntimeError if this OS thread has live threads or open sockets of its own; OSError if
    its poller is not epoll. (luapower's epoll_fd)
    """
    return joining.descriptor("epoll") if fd is None else joining.join("epoll", fd)


def kqueue_fd(fd: int | None = None) -> int:
    """Do the same as epoll_fd() where the poller is kqueue. A forked child does not inherit the descriptor."""
    return joining.descriptor("kqueue") if fd is None else joining.join("kqueue", fd)


def iocp(handle: int | None = None) -> int:
    """Do the same as epoll_fd() where the poller is a completion port (Windows). `handle` is the port's handle."""
    return joining.descriptor("iocp") if handle is None else joining.join("iocp", handle)


def serve_threads(count: int, *, resolver: Resolver | None = None) -> bool:
    """Run the loop of this OS thread's scheduler in `count` OS threads: this one and `count` - 1 new ones.

    Return True when nothing is left to wait for, or when stop() is called in this OS thread or stop(all=True) in any
    member. The new OS threads have ended by then. If the loop of one member raises an exception, all loops are stopped
    and the exception is raised here, without waiting for OS threads that are still in a step. The new OS threads are
    daemons: they do not keep the interpreter alive. `resolver` is as in run().

    Raises TypeError if `count` is not an int; ValueError if it is less than 1; RuntimeError inside a thread, or if the
    loop is already running.
    """
    if resolver is None:
        return joining.serve(count)
    with _resolving_with(resolver):
        return joining.serve(count)
