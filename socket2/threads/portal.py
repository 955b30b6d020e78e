"""`portal`: other OS threads call functions in a loop, and get the outcome.

Each call is a thread of the loop. Its join hands the outcome over. Knows the inbox of a scheduler, through which a call
enters, and what keeps a loop alive. Python's own futures carry the outcome, because an OS thread waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, overload

import pollers
from pollers import Cancelled, Operation, operation

from .block import Block
from .coroutines import A, P, S, T, Y, check_callable, is_coroutine, with_kwargs
from .lock import is_held, lock
from .member import current_member
from .scheduler import Scheduler, current_scheduler, local
from .thread import Thread, all_ended
from .wait import Join

# While call() waits, it looks this often whether the OS thread of the loop still exists.
_LOOK_S = 0.5

_ENDED = "the loop of this portal has ended"
_CLOSED = "this portal has been closed"


class _Call(Join):
    """A call through a portal: the join of the thread that makes it."""

    __slots__ = ("_args", "_context", "_dropped", "_func", "_future", "_portal", "thread")

    def __init__(self, portal: portal, func: Any, args: tuple[Any, ...], future: Future[Any]) -> None:
        super().__init__("call through a portal")
        self.thread: Thread[Any] | None = None  # None until it is made
        self._portal = portal
        # These are None when the future has got its outcome.
        self._future: Future[Any] | None = future
        self._context: Context | None = copy_context()
        self._func = func
        self._args: tuple[Any, ...] | None = args
        self._dropped = False  # nobody waits for the outcome any more

    def start(self) -> None:
        """Start the thread. The loop calls this between two steps."""
        func, args, context = self._func, self._args, self._context  # in this order: see _forget()
        if self._dropped or context is None or args is None:
            return
        try:
            context.run(current_member().newthread, func, args, None, self)
        except BaseException as error:
            thread = self.thread
            if thread is not None and (thread.done or thread in thread.scheduler.threads):
                raise  # a signal handler raised, and the thread has begun
            self.thread = None  # it has this join, and never drops it
            if not isinstance(error, Exception):  # a signal handler raised: try again, if the loop goes on
                self._portal._scheduler.post(self.start)
                raise
            self._settle(None, error.with_traceback(None))  # the call does not fit; avoid a cycle with this frame

    def begin(self, thread: Thread[Any]) -> None:
        self.thread = thread
        if self._dropped:  # drop() did not see the thread
            thread.scheduler.post(thread._cancel)

    def finish(self, result: Any = None) -> bool:
        """Hand over the outcome of the thread. Return False if nobody takes its error."""
        thread = self.thread
        assert thread is not None
        error = thread.error
        try:
            if error is None:
                self._settle(thread.result(), None)
            elif isinstance(error, Cancelled) and error.meant_for is thread:
                self._dropped = True
                self._settle(None, None)
            else:
                return self._settle(None, error) and not self._dropped
            return True
        finally:
            del error, thread  # the traceback of the error may have this frame: avoid a cycle

    def drop(self) -> None:
        """Cancel the thread, or do not start it. Any OS thread may call this."""
        self._dropped = True
        thread = self.thread
        if thread is None:
            self._settle(None, None)
            return
        with suppress(RuntimeError):  # the loop has been shut down
            thread.scheduler.post(thread._cancel)

    def give_up(self, reason: str) -> None:
        """Fail with a RuntimeError now, and cancel the thread."""
        self._settle(None, RuntimeError(reason))
        self.drop()

    def future_ended(self, future: Future[Any]) -> None:
        """If the future has been cancelled, cancel the thread, too."""
        if future.cancelled():
            future.set_running_or_notify_cancel()  # wakes those who wait for the first of several futures
            self._forget()
            if not self._dropped:
                self.drop()

    def _settle(self, result: Any, error: BaseException | None) -> bool:
        """End the future: with an error, as cancelled if the call was dropped, or else with the result.

        Return False if it has ended before.
        """
        try:
            future = self._future
            if future is None:
                return False
            if error is not None:
                future.set_exception(error)
            elif self._dropped:
                future.cancel()
            else:
                future.set_result(result)
            return True
        except InvalidStateError:  # another OS thread was faster
            return False
        finally:
            del error
            self._forget()

    def _forget(self) -> None:
        self._context = self._future = None  # the future refers to this object
        self._func = self._args = None  # after the context
        self._portal._calls.pop(self, None)


class portal(pollers.Unique, Block):
    """A way for other OS threads to call functions in the loop of this one: `with portal() as p:`, then `p.call(func)`.

    Make it in the OS thread of the loop, in a thread or before the loop runs. Pass it to other OS threads. Each call
    starts a thread of the loop, as newthread() does: `func` may be a plain function, a generator function or an `async
    def` function. It sees the contextvars of the caller. If several OS threads serve the scheduler, any of them runs
    the call.

    While the portal is open, start() and run() go on, because calls may come. close() or the end of a `with` block
    closes it: later calls raise RuntimeError. Calls in progress raise RuntimeError as well, and their threads are
    cancelled; `async with` also waits until they have ended. When the loop ends, because run() or start() returns or
    raises, all calls in progress end in the same way. Then calls raise RuntimeError until a loop runs again. Between
    two calls of poll(), and before the loop begins, calls wait.
    """

    __slots__ = ("__weakref__", "_calls", "_closed", "_has_ended", "_holds", "_os_thread", "_scheduler")

    def __init__(self) -> None:
        self._holds = False  # whether it keeps the loop alive
        self._scheduler: Scheduler = current_scheduler()
        self._calls: dict[_Call, None] = {}  # those in progress
        self._os_thread = threading.current_thread()
        self._closed = False
        self._has_ended = False  # whether the loop has ended since the portal was made
        with lock:
            self._scheduler.portals.add(self)
            self._scheduler.hopeless -= 1  # as if one more thread waited for the kernel
            self._holds = True

    @overload
    def call(self, func: Generator[Y, S, T] | Awaitable[T], /) -> T: ...
    @overload
    def call(self, func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def call(self, func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def call(self, func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def call(self, func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def call(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def call(self, func: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `func(*args, **kwargs)` in a thread of the loop. Block this OS thread, and return or raise its outcome.

        If the thread was cancelled, this raises concurrent.futures.CancelledError. If a signal handler raises in this
        OS thread meanwhile, as Ctrl-C does, the thread is cancelled, and the exception is raised when the thread has
        ended. A second one is raised at once.

        Raises RuntimeError in an OS thread that serves the loop, which would wait for itself; in a finalizer that
        interrupts the work of a loop; if the portal is closed or the loop has ended, also while it waits; TypeError if
        `func` cannot be called, or not with these arguments.
        """
        if local.scheduler is self._scheduler or is_held():
            raise RuntimeError(
                "portal.call() would wait for its own OS thread: call it in one that does not run the loop"
            )
        future: Future[Any] = Future()
        call = self._begin(func, args, kwargs, future)
        try:
            try:
                self._submit(call)
                self._await(call, future)
            except BaseException:  # a signal handler raised
                call.drop()
                self._await(call, future)
                raise
            return future.result()
        finally:
            del call, future, self, func, args, kwargs  # the traceback of an error has this frame: avoid a cycle

    @overload
    def spawn(self, func: Generator[Y, S, T] | Awaitable[T], /) -> Future[T]: ...
    @overload
    def spawn(self, func: Callable[P, Generator[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def spawn(self, func: Callable[P, Coroutine[Y, S, T]], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def spawn(self, func: Callable[P, Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def spawn(self, func: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]: ...
    @overload
    def spawn(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    def spawn(self, func: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `func(*args, **kwargs)` in a thread of the loop. Return a concurrent.futures.Future of its outcome.

        It does not wait for the loop, so any OS thread, any signal handler and any finalizer may call this. If more
        than 1000 calls wait, another OS thread that makes one pauses for a millisecond. An error of the function
        is raised by the future only, so ask it. Its callbacks run in the loop, and must not block. Do not wait for it
        in an OS thread that serves the loop. cancel() of the future cancels the thread, and gives up its outcome. If
        the thread then fails, crashhook() reports that.

        Raises RuntimeError if the portal is closed or the loop has ended; TypeError if `func` cannot be called. The
        future raises TypeError if the arguments do not fit.
        """
        future: Future[Any] = Future()
        call = self._begin(func, args, kwargs, future)
        future.add_done_callback(call.future_ended)
        self._submit(call)
        return future

    def close(self) -> None:
        """Close the portal. Any OS thread and any signal handler may call this. A second call does nothing.

        Calls in progress end when the loop gets to it. A call that closes its own portal goes on to its end.
        """
        with lock:
            self._closed = True
        if self._scheduler.at_hand():
            self._let_go()
        else:
            self._post(self._let_go)
        give_up = partial(self._give_up, _CLOSED, local.member.current if local.member is not None else None)
        if is_held() or self._serves():
            self._post(give_up)  # a signal handler or finalizer must not run the callbacks of futures
        else:
            give_up()

    # Inside.

    def _loop_ended(self) -> None:
        """End the calls in progress: no OS thread runs the loop any more. The scheduler calls this."""
        with lock:
            self._has_ended = True
            goes_on = bool(self._scheduler.loops)  # another OS thread has begun just now
        if not goes_on:
            self._give_up(_ENDED)

    def _begin(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], future: Future[Any]) -> _Call:
        if kwargs:
            func = with_kwargs(func, kwargs)
        elif not is_coroutine(func):
            check_callable(func)
        call = _Call(self, func, args, future)
        with lock:
            reason = _CLOSED if self._closed else _ENDED if self._has_ended and not self._scheduler.loops else None
            if reason is None:
                self._calls[call] = None
        if reason is not None:
            raise RuntimeError(reason)
        return call

    def _submit(self, call: _Call) -> None:
        try:
            self._scheduler.post(call.start)
        except RuntimeError:  # the loop has been shut down, or belongs to the parent process
            call.give_up(_ENDED)

    def _post(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the same
            self._scheduler.post(call)

    def _serves(self) -> bool:
        """Whether this OS thread runs the loop now."""
        return local.scheduler is self._scheduler and local.member is not None and local.member.running

    def _await(self, call: _Call, future: Future[Any]) -> None:
        """Block this OS thread until the call has ended."""
        while not future.done():
            with suppress(TimeoutError, CancelledError):
                future.exception(_LOOK_S)
            if not future.done() and not self._scheduler.loops and not self._os_thread.is_alive():
                call.give_up(_ENDED)

    def _give_up(self, reason: str, but: object = None) -> None:
        """End all calls in progress, but not the one of the thread `but`."""
        for call in list(self._calls):
            if but is None or call.thread is not but:
                call.give_up(reason)

    def _let_go(self) -> None:
        """Let the loop end without this portal."""
        with lock:
            if self._holds:
                self._scheduler.hopeless += 1
            self._holds = False
            self._scheduler.portals.discard(self)

    def __exit__(self, *_: object) -> None:
        self.close()

    @operation
    def _leave(self) -> Generator[Any, None, None]:
        threads = [call.thread for call in list(self._calls) if call.thread is not None]
        self.close()
        me = current_member().current
        yield from all_ended(thread for thread in threads if thread is not me)

    def __del__(self) -> None:
        if self._holds:
            self._post(_let_go)

    def __repr__(self) -> str:
        return f"<portal, {'closed' if self._closed else 'open'}, {len(self._calls)} calls>"


def _let_go() -> None:
    """Let the loop end without a portal that was dropped. A function, because what it referred to would be kept."""
    if local.scheduler is not None:
        with lock:
            local.scheduler.hopeless += 1
