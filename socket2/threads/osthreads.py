"""Blocking calls, made in OS threads so that the loop goes on: a pool with a cap, whose threads end when idle.

The threads are daemons and are not waited for when the interpreter exits: a look-up that hangs must not hang the
program, which is what concurrent.futures' pools do. A call whose waiter has left is dropped if it has not begun, and
its outcome is if it has.
"""

from __future__ import annotations

import contextvars
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from pollers import Operation, operation

from .coroutines import awaiting, is_coroutine
from .resolver import AddressInfo, Answer, Resolver
from .scheduler import PoolThread, Scheduler, current_scheduler
from .thread import currentthread
from .wait import Wait, alike

T = TypeVar("T")

LOOKUPS_MAX = 16
CALLS_MAX = 32
IDLE_S = 5.0

# So many hung calls that nobody waits for do not count; there must be some end to them.
LOST_MAX = 256


class _Call:
    """A call, and who waits for it: several, if they have asked for the same."""

    __slots__ = ("args", "context", "func", "key", "os_thread", "waits")

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable) -> None:
        self.func = func
        self.args = args
        self.key = key
        self.context = contextvars.copy_context()
        self.waits: list[tuple[Scheduler, Wait]] = []
        self.os_thread: threading.Thread | None = None  # which makes it now

    def is_wanted(self) -> bool:
        return any(not wait.done for _, wait in self.waits)

    def make(self) -> tuple[Any, BaseException | None]:
        """Return the result, or the error."""
        try:
            return self.context.run(self.func, *self.args), None
        except BaseException as error:
            return None, error

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """Have the schedulers of those who wait end their waits."""
        try:
            for scheduler, wait in self.waits:
                if not wait.done:
                    with suppress(RuntimeError):  # the loop has been shut down since
                        scheduler.post(partial(wait.finish, result) if error is None else partial(wait.fail, error))
                    error = None if error is None else alike(error)  # nobody's traceback grows in another's hands
        finally:
            del error


class Pool:
    """OS threads that make blocking calls: started as they are needed, and at most `size` for whom somebody waits.

    One whose call hangs on when nobody waits for it any more is lost, and does not keep others from being started.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self.reset()

    def reset(self) -> None:
        """Start from nothing: in a forked child none of the OS threads exists."""
        self._calls: deque[_Call] = deque()
        self._shared: dict[Hashable, _Call] = {}  # those in the line and being made that others may join
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._lost: set[threading.Thread] = set()  # of the busy ones
        self._ending: set[threading.Thread] = set()
        self._changed = threading.Condition(threading.Lock())

    @operation
    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Generator[Any, None, Any]:
        """Make the call in an OS thread; return what it returns, or raise what it raises.

        Those that have the same `key`, unless that is None, share one call, and must not change its result.
        """
        wait = Wait(purpose)
        scheduler = currentthread().scheduler
        call = self._submit(scheduler, wait, func, args, key)
        try:
            return (yield from wait.wait())
        except GeneratorExit:
            # Perhaps a finalizer's, which must not wait for what it may have interrupted: the loop does the rest.
            with suppress(RuntimeError):  # the loop has been shut down
                scheduler.post(partial(self._leave, call))
            raise
        except BaseException:
            if not wait.finished:
                self._leave(call)
            raise

    def end(self) -> None:
        """End the threads that are making no call now, and wait for those."""
        with self._changed:
            ending = self._threads - self._busy
            self._ending |= ending
            self._changed.notify_all()
        for thread in ending:
            thread.join()

    def _submit(
        self, scheduler: Scheduler, wait: Wait, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable
    ) -> _Call:
        with self._changed:
            call = self._shared.get(key)
            if call is not None:
                call.waits.append((scheduler, wait))
                return call
            call = _Call(func, args, key)
            call.waits.append((scheduler, wait))
            self._calls.append(call)
            try:
                self._see_to_the_line()
            except RuntimeError:
                # The system gives no more: then the others make the call, if there are any.
                if len(self._threads) == len(self._lost):
                    self._calls.remove(call)
                    raise
            if key is not None:
                self._shared[key] = call
            return call

    def _see_to_the_line(self) -> None:
        """Wake an OS thread, or start another, if there may be one more."""
        idle = len(self._threads) - len(self._busy) - len(self._ending)
        if idle >= len(self._calls) or len(self._threads) - len(self._lost) >= self.size:
            self._changed.notify()
            return
        thread = PoolThread(target=self._work, name=self._name, daemon=True)
        thread.start()
        self._threads.add(thread)

    def _leave(self, call: _Call) -> None:
        """Somebody does not wait for it any more."""
        with self._changed:
            if call.os_thread is None or call.is_wanted():
                return
            self._forget(call)  # it may hang; who asks again asks anew
            if len(self._lost) >= LOST_MAX:
                return
            self._lost.add(call.os_thread)
            if self._calls:
                with suppress(RuntimeError):
                    self._see_to_the_line()

    def _work(self) -> None:
        me = threading.current_thread()
        goes_on = True
        while goes_on and (call := self._next(me)) is not None:
            result, error = call.make()
            goes_on = self._made(me, call)
            call.deliver(result, error)
            del call, result, error

    def _next(self, me: threading.Thread) -> _Call | None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._calls or me in self._ending, IDLE_S)
                if not self._calls:
                    self._threads.discard(me)
                    self._ending.discard(me)
                    return None
                call = self._calls.popleft()
                if call.is_wanted():
                    self._busy.add(me)
                    self._ending.discard(me)
                    call.os_thread = me
                    return call
                self._forget(call)

    def _forget(self, call: _Call) -> None:
        """From now on nobody joins it."""
        if self._shared.get(call.key) is call:
            del self._shared[call.key]

    def _made(self, me: threading.Thread, call: _Call) -> bool:
        """A call has come to its end. False: there are others enough, and this OS thread is to end."""
        with self._changed:
            self._forget(call)
            call.os_thread = None
            self._busy.discard(me)
            self._lost.discard(me)
            goes_on = len(self._threads) - len(self._lost) <= self.size
            if not goes_on:
                self._threads.discard(me)
            return goes_on


calls = Pool(CALLS_MAX, "socket2 call")
lookups = Pool(LOOKUPS_MAX, "socket2 look-up")


def call_in_thread(func: Callable[..., T], *args: Any) -> Operation[T]:
    """Make a blocking call in an OS thread while other threads run; return or raise its outcome.

    At most 32 such calls run at a time; more wait in line. Cancelled or out of time: the wait ends at once; the call,
    if it had begun, goes on, does not count among the 32 any more, and its outcome is dropped. The function sees the
    caller's contextvars. RuntimeError outside a thread; TypeError if `func` cannot be called.
    """
    caller = currentthread().scheduler.caller or calls
    if not callable(func):
        raise TypeError(f"a function is needed, not {func!r}")
    return caller.call(f"call of {getattr(func, '__qualname__', func)} in an OS thread", func, args)


def look_up(purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable) -> Operation[Any]:
    """Make a call that asks the system for a name. Who asks for the same at the same time shares it."""
    return (current_scheduler().caller or lookups).call(purpose, func, args, key)


class SystemResolver:
    """Asks getaddrinfo(3) and getnameinfo(3), in OS threads."""

    def getaddrinfo(
        self, host: str | None, port: int | str | None, family: int, type: int, proto: int, flags: int, /
    ) -> Operation[list[AddressInfo]]:
        asked = (host, port, family, type, proto, flags)
        return look_up(f"look-up of {host or port!r}", socket.getaddrinfo, asked, ("getaddrinfo", *asked))

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> Operation[tuple[str, str]]:
        asked = (sockaddr, flags)
        return look_up(f"look-up of {sockaddr[0]!r}", socket.getnameinfo, asked, ("getnameinfo", *asked))


_system = SystemResolver()


def resolver() -> Resolver:
    """Return who looks up names for the threads of this scheduler."""
    return current_scheduler().resolver or _system


def answer_of(asked: Answer[T]) -> Generator[Any, None, T]:
    """Return what a resolver answers, waiting if that takes a wait."""
    return (yield from awaiting(asked)) if is_coroutine(asked) else asked  # type: ignore[return-value]


def _after_fork_in_child() -> None:
    calls.reset()
    lookups.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
