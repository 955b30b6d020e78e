"""trio as a guest of our loop: it takes a tick when our loop makes a posted call, and waits in an OS thread of its own.

The guest ends only when trio calls `done`. Until then a thread of ours waits, so our loop does not take itself for
idle. Our loop handles Ctrl-C: that cancels the main thread, and with it trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeVar, TypeVarTuple

import trio
from outcome import Error, Outcome

from pollers import Operation, operation

from ...threads.coroutines import check_callable
from ...threads.member import current_member
from ...threads.thread import currentthread
from ..crossing import Work
from .present import Present, local

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def trio_run(
    async_fn: Callable[[*Ts], Awaitable[T]],
    /,
    *args: *Ts,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
    restrict_keyboard_interrupt_to_checkpoints: bool = False,
    strict_exception_groups: bool = True,
) -> Operation[T]:
    """Run `async_fn(*args)` in trio, beside the other threads of this loop, and return or raise its outcome.

    It takes the place of trio.run(), whose arguments it takes. trio and our loop share the OS thread: while a task of
    trio runs, no thread of ours does, and no lock is needed between them. A cancellation or timeout cancels what runs
    in trio, and is raised when trio has ended. If trio ends with a result all the same, that is returned, and the next
    wait raises the cancellation.

    Raises RuntimeError outside a thread, if trio already runs in this OS thread, or if several OS threads serve the
    loop; TypeError if `async_fn` is not callable. (trio's start_guest_run)
    """
    thread = currentthread()
    check_callable(async_fn)
    options = {
        "clock": clock,
        "instruments": instruments,
        "restrict_keyboard_interrupt_to_checkpoints": restrict_keyboard_interrupt_to_checkpoints,
        "strict_exception_groups": strict_exception_groups,
    }
    return _run(_Guest(thread.scheduler), async_fn, args, options)


class _Guest:
    """One run of trio."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._scope: trio.CancelScope | None = None
        self._asked_to_end = False
        self._present = Present()
        self._member = current_member()
        self.work = Work("the end of trio")

    def start(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], options: dict[str, Any]) -> None:
        if self._scheduler.crew is not None:
            raise RuntimeError("several OS threads serve this loop, so trio cannot run in it")
        if local.present is not None:
            raise RuntimeError("trio already runs in this OS thread")
        self._member.alone += 1
        local.present = self._present
        try:
            trio.lowlevel.start_guest_run(
                self._main,
                async_fn,
                args,
                run_sync_soon_threadsafe=self._scheduler.post,
                run_sync_soon_not_threadsafe=self._scheduler.inbox.append,
                done_callback=self._done,
                host_uses_signal_set_wakeup_fd=True,
                **options,
            )
        except BaseException:
            self._leave()
            raise

    async def _main(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        try:
            with trio.CancelScope() as self._scope:
                if self._asked_to_end:
                    self._scope.cancel()
                return await async_fn(*args)
        finally:
            local.present = None  # from here on trio only ends

    def ask_to_end(self) -> None:
        self._asked_to_end = True
        if self._scope is not None:
            self._scope.cancel()

    def _done(self, outcome: Outcome[Any]) -> None:
        """Called when trio has ended."""
        self._leave()
        if isinstance(outcome, Error):
            self.work.fail(outcome.error)
        elif self._scope is not None and self._scope.cancelled_caught:
            self.work.stop()
        else:
            self.work.finish(outcome.unwrap())

    def _leave(self) -> None:
        self._member.alone -= 1
        if local.present is self._present:
            local.present = None
        self._present.has_ended()


@operation
def _run(
    guest: _Guest, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], options: dict[str, Any]
) -> Generator[Any, None, Any]:
    guest.start(async_fn, args, options)
    return (yield from guest.work.until_over(guest.ask_to_end))
