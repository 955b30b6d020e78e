"""Blocking calls in OS threads, while the loop goes on. Each pool has a maximum size, and its idle OS threads end.

The OS threads are daemons, because a lookup that hangs must not keep the interpreter alive. The pools of
concurrent.futures would wait for it at exit. If nothing waits for a call any more, the call is dropped. If it has
already begun, its outcome is dropped.
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
from typing import Any, overload

from pollers import Operation, leakproof, operation

from .capacity import CapacityLimiter
from .coroutines import P, T, Ts, awaiting, explain_missing, is_coroutine, is_lazy, name_of
from .resolver import AddressInfo, Answer, Resolver
from .scheduler import Caller, PoolThread, Scheduler, current_scheduler, leave_to_loop, local, warn_if_never_run
from .thread import currentthread
from .wait import Wait, alike

LOOKUPS_MAX = 16
CALLS_MAX = 32
IDLE_S = 5.0

# At most this many abandoned calls, which nothing waits for, are not counted in the size of their pool.
LOST_MAX = 256


class _Call:
    """A call, and the waits for it. Threads that ask for the same call share it."""

    __slots__ = ("args", "context", "func", "key", "os_thread", "waits")

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable) -> None:
        self.func = func
        self.args = args
        self.key = key
        self.context = contextvars.copy_context()
        self.waits: list[tuple[Scheduler, Wait]] = []
        self.os_thread: threading.Thread | None = None  # the one that makes the call now

    def is_wanted(self) -> bool:
        """Whether a thread still waits for the outcome."""
        return any(not wait.done for _, wait in self.waits)

    def make(self) -> tuple[Any, BaseException | None]:
        """Make the call. Return its result and None, or None and its exception."""
        try:
            result = self.context.run(self.func, *self.args)
            if local.scheduler is not None:
                warn_if_never_run(local.scheduler)
            return result, None
        except BaseException as error:
            return None, error

    def deliver(self, result: Any, error: BaseException | None) -> None:
        """Post the outcome to the scheduler of each wait. The schedulers then end the waits."""
        try:
            for scheduler, wait in self.waits:
                if not wait.done:
                    with suppress(RuntimeError):  # the loop has been shut down
                        scheduler.post(partial(wait.finish, result) if error is None else partial(wait.fail, error))
                    error = None if error is None else alike(error)  # each thread raises a copy of its own
        finally:
            del error


class Pool:
    """OS threads that make blocking calls. They are started when they are needed.

    At most `size` of them make calls that a thread waits for. If nothing waits for a call any more, its OS thread is
    *lost* until the call ends: it is not counted, so another one can take its place.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self.reset()

    def reset(self) -> None:
        """Forget all OS threads and calls. A forked child has none of them."""
        self._calls: deque[_Call] = deque()
        self._shared: dict[Hashable, _Call] = {}  # queued or running calls that others may share
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._lost: set[threading.Thread] = set()  # of the busy ones
        self._ending: set[threading.Thread] = set()
        self._lock = leakproof(threading.Lock())
        self._changed = threading.Condition(self._lock)

    @operation
    def call(
        self, purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable = None, /
    ) -> Generator[Any, None, Any]:
        """Make the call in an OS thread. Return its result, or raise its exception.

        Calls with the same `key` share one call, unless `key` is None. The callers must not change the result.
        A cancellation or timeout ends the wait at once. A call that has begun goes on, and its outcome is dropped.
        Raises RuntimeError if the system cannot start an OS thread and the pool has no other one.
        """
        wait = Wait(purpose)
        scheduler = currentthread().scheduler
        call = self._submit(scheduler, wait, func, args, key)
        try:
            return (yield from wait.wait())
        except GeneratorExit:
            # A finalizer may do this, in the middle of code that holds `_lock`. So the loop does the rest.
            with suppress(RuntimeError):  # the loop has been shut down
                scheduler.post(partial(self._leave, call))
            raise
        except BaseException:
            if not wait.finished:
                self._leave(call)
            raise

    def end(self) -> None:
        """End the OS threads that make no call now, and wait until they have ended."""
        with self._lock:
            ending = self._threads - self._busy
            self._ending |= ending
            self._changed.notify_all()
        for thread in ending:
            thread.join()

    def _submit(
        self, scheduler: Scheduler, wait: Wait, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable
    ) -> _Call:
        with self._lock:
            call = self._shared.get(key)
            if call is not None:
                call.waits.append((scheduler, wait))
                return call
            call = _Call(func, args, key)
            call.waits.append((scheduler, wait))
            self._calls.append(call)
            try:
                self._provide_thread()
            except RuntimeError:
                # The system cannot start another OS thread. The existing ones make the call, if there are any.
                if len(self._threads) == len(self._lost):
                    self._calls.remove(call)
                    raise
            if key is not None:
                self._shared[key] = call
            return call

    def _provide_thread(self) -> None:
        """Start an OS thread if the queued calls need one more and `size` allows it. Otherwise wake an idle one."""
        idle = len(self._threads) - len(self._busy) - len(self._ending)
        if idle >= len(self._calls) or len(self._threads) - len(self._lost) >= self.size:
            self._changed.notify()
            return
        thread = PoolThread(target=self._work, name=self._name, daemon=True)
        thread.start()
        self._threads.add(thread)

    def _leave(self, call: _Call) -> None:
        """A thread has stopped waiting for `call`."""
        with self._lock:
            if call.os_thread is None or call.is_wanted():
                return
            self._forget(call)  # it may hang; a new request makes a new call
            if len(self._lost) >= LOST_MAX:
                return
            self._lost.add(call.os_thread)
            if self._calls:
                with suppress(RuntimeError):
                    self._provide_thread()

    def _work(self) -> None:
        me = threading.current_thread()
        goes_on = True
        while goes_on and (call := self._next(me)) is not None:
            result, error = call.make()
            goes_on = self._made(me, call)
            call.deliver(result, error)
            del call, result, error

    def _next(self, me: threading.Thread) -> _Call | None:
        """Wait for a call and return it. Return None if this OS thread is to end."""
        with self._lock:
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
        """Do not let other threads share `call` from now on."""
        if self._shared.get(call.key) is call:
            del self._shared[call.key]

    def _made(self, me: threading.Thread, call: _Call) -> bool:
        """A call has ended. Return whether this OS thread goes on; if there are too many, it ends."""
        with self._lock:
            self._forget(call)
            call.os_thread = None
            self._busy.discard(me)
            self._lost.discard(me)
            goes_on = len(self._threads) - len(self._lost) <= self.size
            if not goes_on:
                self._threads.discard(me)
            return goes_on


calls = Pool(CALLS_MAX, "socket2 call")
lookups = Pool(LOOKUPS_MAX, "socket2 lookup")


class _LimitedCall:
    """A call that has a token of a limiter until it has ended, or until it is clear that it is not made."""

    __slots__ = ("_begun", "_changed", "_dropped", "_func", "_limiter", "_scheduler")

    def __init__(self, limiter: CapacityLimiter, func: Callable[[], Any]) -> None:
        self._limiter = limiter
        self._func = func
        self._scheduler = current_scheduler()
        self._changed = leakproof(threading.Lock())
        self._begun = self._dropped = False

    def make(self) -> Any:
        """Make the call, in an OS thread."""
        with self._changed:
            if self._dropped:
                return None
            self._begun = True
        try:
            return self._func()
        finally:
            self._give_back()

    def drop(self) -> None:
        """The thread that waited for the call does not wait any more."""
        with self._changed:
            self._dropped = not self._begun
        if self._dropped and not leave_to_loop(partial(self._limiter._give_back, self)):
            self._limiter._give_back(self)

    def _give_back(self) -> None:
        """Let the loop give the token back, because a finalizer may run here in the middle of a change."""
        try:
            self._scheduler.post(partial(self._limiter._give_back, self))
        except RuntimeError:  # the loop has been shut down, but the limiter may be shared with another one
            self._limiter._give_back(self)


@operation
def _call_limited(
    caller: Caller, purpose: str, func: Callable[[], T], limiter: CapacityLimiter
) -> Generator[Any, None, T]:
    call = _LimitedCall(limiter, func)
    yield from limiter._borrow_for(call)
    try:
        result: T = yield from caller.call(purpose, call.make, ())
        return result
    except BaseException:
        call.drop()
        raise


def _call_without_limiter(func: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return func(*args)
    except TypeError as error:
        explain_missing(error, func, "limiter", "call_in_thread")
        raise


@overload
def call_in_thread(func: Callable[[*Ts], T], /, *args: *Ts, limiter: CapacityLimiter | None) -> Operation[T]: ...
@overload
def call_in_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Operation[T]: ...
def call_in_thread(  # type: ignore[misc]
    func: Any, /, *args: Any, limiter: CapacityLimiter | None = None, **kwargs: Any
) -> Operation[Any]:
    """Call `func(*args, **kwargs)`, which may block, in an OS thread while other threads run.

    Return its result, or raise its exception. `func` sees the caller's contextvars. At most 32 calls run at the same
    time, and further ones wait in a queue. A cancellation or timeout ends the wait at once. A call that has not begun
    is then dropped. One that has begun goes on, and its outcome is dropped. Up to 256 such calls do not count as one of
    the 32. Raises RuntimeError outside a thread, or if the system cannot start an OS thread; TypeError if `func` is not
    callable, or is an `async def` or generator function, which a call would not run.

    `limiter` limits how many calls run at the same time. The call waits for a token of it first, and has that until
    `func` has ended, even if nothing waits for the outcome any more. It is the call that borrows the token: the thread
    may have another one. `limiter` is not passed to `func`.
    """
    caller = currentthread().scheduler.caller or calls
    if not callable(func):
        raise TypeError(f"call_in_thread() needs a function, not {func!r}")
    if is_lazy(func):
        raise TypeError(f"call_in_thread() would make {func!r} and not run it: use newthread()")
    if not isinstance(limiter, CapacityLimiter | None):
        raise TypeError(f"the limiter of a call must be a CapacityLimiter, not {limiter!r}")
    call = partial(func, **kwargs) if kwargs else func
    purpose = f"call of {name_of(func) or func} in an OS thread"
    if limiter is not None:
        return _call_limited(caller, purpose, partial(_call_without_limiter, call, args), limiter)
    return caller.call(purpose, call, args)


def look_up(purpose: str, func: Callable[..., Any], args: tuple[Any, ...], key: Hashable) -> Operation[Any]:
    """Make a call that looks up a name in the system. Lookups with the same `key` at the same time share one call."""
    return (current_scheduler().caller or lookups).call(purpose, func, args, key)


class SystemResolver:
    """Calls getaddrinfo(3) and getnameinfo(3), in OS threads."""

    def getaddrinfo(
        self, host: str | None, port: int | str | None, family: int, type: int, proto: int, flags: int, /
    ) -> Operation[list[AddressInfo]]:
        asked = (host, port, family, type, proto, flags)
        return look_up(f"lookup of {host or port!r}", socket.getaddrinfo, asked, ("getaddrinfo", *asked))

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> Operation[tuple[str, str]]:
        asked = (sockaddr, flags)
        return look_up(f"lookup of {sockaddr[0]!r}", socket.getnameinfo, asked, ("getnameinfo", *asked))


_system = SystemResolver()


def resolver() -> Resolver:
    """Return the resolver that the threads of this scheduler use."""
    return current_scheduler().resolver or _system


def answer_of(asked: Answer[T]) -> Generator[Any, None, T]:
    """Return the answer of a resolver. Wait for it if it is a coroutine."""
    return (yield from awaiting(asked)) if is_coroutine(asked) else asked  # type: ignore[return-value]


def _after_fork_in_child() -> None:
    calls.reset()
    lookups.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
