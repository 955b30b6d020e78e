"""What crosses between tasks of trio and our threads, which run in the same OS thread.

A task waits for a thread by a join of it, and a thread waits for a task by a Work. Cancelled while it waits, each asks
the other to end, and goes on waiting until it has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar, TypeVarTuple, overload

import trio

from pollers import Cancelled, Operation, operation

from ...threads.coroutines import check_callable, name_of
from ...threads.scheduler import local as ours
from ...threads.sniffed import Sniffed
from ...threads.thread import Thread, currentthread
from ...threads.wait import Join
from ..crossing import Work
from .present import Present, ended, the_present

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _OfTask(Join):
    """A thread that a task of trio waits for, as a join of that thread."""

    __slots__ = ("_error", "_raise_cancel", "_task", "_thread", "_was_cancelled", "is_over")
    leads = True  # at the exit of the process the task cancels the thread

    def __init__(self) -> None:
        super().__init__("a task of trio")
        self._task: Any = None  # while it waits
        self._thread: Thread[Any] | None = None
        self._raise_cancel: Callable[[], Any] | None = None  # what trio has given, to raise its Cancelled
        self._was_cancelled = False
        self.is_over = False

    def begin(self, thread: Thread[Any]) -> None:
        self._thread = thread

    def finish(self, result: Any = None) -> bool:
        """The thread has ended. Return True: the task gets its outcome."""
        thread, task = self._thread, self._task
        assert thread is not None
        error = thread.error
        self._was_cancelled = isinstance(error, Cancelled) and error.meant_for is thread
        self.is_over = True
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)
        del error  # its traceback may have this frame: avoid a cycle
        return True

    def steps(self) -> Generator[Any, None, Any]:
        """Wait for the thread, in the task. Return the thread's result, or raise its error."""
        if self.is_over:
            yield from trio.lowlevel.cancel_shielded_checkpoint().__await__()
        else:
            self._task = trio.lowlevel.current_task()
            yield from trio.lowlevel.wait_task_rescheduled(self._cancel_thread).__await__()
        thread, self._thread = self._thread, None
        assert thread is not None
        if self._was_cancelled and self._raise_cancel is not None:
            self._raise_cancel()
        return thread.result()

    def _cancel_thread(self, raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        if self._thread is not None:
            self._thread.cancel()
        return trio.lowlevel.Abort.FAILED  # the end of the thread ends the wait


@overload
def of(func: Generator[Any, Any, T] | Awaitable[T], /) -> Operation[T]: ...
@overload
def of(func: Callable[[*Ts], Generator[Any, Any, T]], /, *args: *Ts) -> Operation[T]: ...
@overload
def of(func: Callable[[*Ts], Coroutine[Any, Any, T]], /, *args: *Ts) -> Operation[T]: ...
@overload
def of(func: Callable[[*Ts], Operation[T]], /, *args: *Ts) -> Operation[T]: ...
@overload
def of(func: Callable[[*Ts], T], /, *args: *Ts) -> Operation[T]: ...
def of(func: Any, /, *args: Any) -> Operation[Any]:  # type: ignore[misc]
    """In a task of trio: run an operation or function of socket2 in a thread of its own, and return its outcome.

    `data = await of(sock.recv(4096))`, or `await of(socket2.sleep, 1)`. `func` and `args` are those of newthread(); the
    thread sees the context variables of the task. If the task is cancelled, the thread is cancelled, and trio.Cancelled
    is raised when it has ended. If the thread ends with a result all the same, that is returned, and the next
    checkpoint of the task raises trio.Cancelled. If the task was cancelled before, nothing is started.

    Raises RuntimeError outside a task of trio, or if our loop does not run in this OS thread.
    """
    return _of(func, args)


@operation
def _of(func: Any, args: tuple[Any, ...]) -> Generator[Any, None, Any]:
    member = ours.member
    if member is None or not member.running:
        raise RuntimeError("the loop of socket2 does not run in this OS thread")
    try:
        yield from trio.lowlevel.checkpoint_if_cancelled().__await__()
    except BaseException:
        close = getattr(func, "close", None)
        if close is not None:
            close()
        raise
    join, sniffed = _OfTask(), Sniffed()
    sniffed.begin()
    try:
        member.newthread(func, args, None, join)  # type: ignore[attr-defined]
    finally:
        sniffed.end()
    return (yield from join.steps())


def wait(async_fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> Operation[T]:
    """In a thread of ours: run `async_fn(*args)` in the trio of this OS thread, and return or raise its outcome.

    It is a task of trio, and sees the context variables of the thread. A cancellation or timeout of the thread cancels
    the task, and is raised when the task has ended. If the task ends with a result all the same, that is returned, and
    the next wait of the thread raises the cancellation.

    Raises RuntimeError outside a thread, if trio does not run in this OS thread, or if it ends before the task does;
    TypeError if `async_fn` is not callable.
    """
    currentthread()
    check_callable(async_fn)
    return _wait(the_present(), async_fn, args)


@operation
def _wait(
    present: Present, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
) -> Generator[Any, None, Any]:
    task = _OfThread(present, async_fn, args)
    trio.lowlevel.spawn_system_task(task.run, name=name_of(async_fn), context=copy_context())
    return (yield from task.work.until_over(task.ask_to_end))


class _OfThread:
    """A task of trio that a thread of ours waits for."""

    def __init__(self, present: Present, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self._present = present
        self._async_fn = async_fn
        self._args = args
        self._scope = trio.CancelScope()
        self.work = Work(f"{name_of(async_fn) or async_fn} in trio")
        present.works[self.work] = None

    def ask_to_end(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        """Run the function in trio. An error goes to the thread: it would end trio if it left a system task."""
        result = None
        try:
            with self._scope:
                result = await self._async_fn(*self._args)
        except BaseException as error:
            cancelled, of_its_own = _split(error)
            self.work.fail(of_its_own or ended())
            if cancelled is not None:
                raise cancelled from None
        else:
            if self._scope.cancelled_caught:
                self.work.stop()
            else:
                self.work.finish(result)
        finally:
            self._present.works.pop(self.work, None)


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Return what says that trio ends, and what is an error of the function; either may be None."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)
