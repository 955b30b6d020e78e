"""Scopes and shields in programs that end, in cleanups, in groups, and in generators that are dropped."""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Event,
    Thread,
    currentthread,
    fail_after,
    move_on_after,
    newthread,
    run,
    scope,
    sleep,
    suspend,
    threadset,
    timeout,
)
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler, local
from socket2.threads.unbroken import unbroken

Steps = Generator[Any, Any, Any]


def nothing_is_pending() -> None:
    interruptions = current_scheduler().interruptions
    assert interruptions.known == {}
    assert interruptions.scopes == {}


def rests(s: scope | timeout) -> Steps:
    with s:
        yield from suspend()
    return "went on"


# What ends a program.


def test_a_shield_holds_back_the_first_ctrl_c() -> None:
    trail = []

    def main() -> Steps:
        with scope(shield=True):
            signal.raise_signal(signal.SIGINT)
            yield from sleep(0.001)
            trail.append("in the shield")
        yield from sleep(1000)
        trail.append("too far")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(main)
    finally:
        signal.signal(signal.SIGINT, before)
    assert trail == ["in the shield"]
    nothing_is_pending()


def test_a_shield_does_not_hold_back_the_second_ctrl_c() -> None:
    def main() -> Steps:
        with scope(shield=True):
            signal.raise_signal(signal.SIGINT)
            yield from sleep(0.001)
            signal.raise_signal(signal.SIGINT)
            yield from gate.wait()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        gate = Event()
        with pytest.raises(KeyboardInterrupt):
            run(main)
        gate.set()
        current_member().start(None)  # the thread goes on when the loop does
    finally:
        signal.signal(signal.SIGINT, before)
    nothing_is_pending()


def test_closing_ends_though_a_thread_is_in_a_shield() -> None:
    thread = newthread(rests, scope(shield=True))
    current_member().close()
    assert not thread.done  # as one whose cleanup waits
    local.scheduler = local.member = None


# Cleanup.


def test_what_is_unbroken_is_a_shield() -> None:
    trail = []

    def work() -> Steps:
        yield from sleep(0.001)
        trail.append("done")
        return "result"

    def main() -> Steps:
        me = currentthread()
        with scope() as s:
            newthread(s.cancel)
            newthread(me.cancel)
            assert (yield from unbroken(newthread(work).join())) == "result"
            trail.append("delivered")
            try:
                yield from sleep(1000)
            finally:
                with suppress(Cancelled):  # each at one wait
                    yield from sleep(1000)
                trail.append("both raised")

    with pytest.raises(Cancelled):
        run(main)
    assert trail == ["done", "delivered", "both raised"]
    nothing_is_pending()


def test_a_cleanup_that_was_cut_by_its_own_limit_goes_on_with_the_first_error() -> None:
    trail = []

    def worker() -> Steps:
        try:
            yield from suspend()
        finally:
            with move_on_after(0.001, shield=True) as s:
                yield from suspend()
            trail.append(s.cut_short)
            with pytest.raises(TimeoutError), fail_after(0.001, shield=True):
                yield from suspend()
            trail.append(True)

    def main() -> Steps:
        thread = newthread(worker)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == [True, True]
    nothing_is_pending()


def test_a_cancel_that_an_inner_block_swallowed_is_raised_at_its_end() -> None:
    """The cleanup of the thread's cancel lasts until the deadline of the block, whose interruption replaces it."""
    trail = []

    def worker() -> Steps:
        with move_on_after(0.001) as s:
            try:
                yield from suspend()
            finally:
                while not s.expired:
                    yield from sleep(0)
                yield from suspend()
        trail.append("too far")

    def main() -> Steps:
        thread = newthread(worker)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == []
    nothing_is_pending()


# Groups.


def test_a_scope_around_a_group_ends_its_threads() -> None:
    ended = []

    async def member() -> None:
        try:
            await suspend()
        finally:
            with scope(shield=True):
                await sleep(0)
            ended.append(True)

    async def main() -> None:
        with scope() as s:
            async with threadset() as ts:
                ts.newthread(member)
                ts.newthread(member)
                ts.newthread(s.cancel)
        assert s.cut_short
        assert ended == [True, True]

    run(main)
    nothing_is_pending()


def test_a_shield_in_a_group_holds_back_the_failure_of_a_thread() -> None:
    trail = []

    def fails() -> Steps:
        yield from sleep(0)
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with threadset() as ts:
                with scope(shield=True):
                    ts.newthread(fails)
                    await sleep(0.001)
                    trail.append("in the shield")
                await sleep(1000)
                trail.append("too far")

    run(main)
    assert trail == ["in the shield"]
    nothing_is_pending()


def test_a_shield_around_a_group_lets_its_failure_through() -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            with scope(shield=True):
                async with threadset() as ts:
                    ts.newthread(fails)
                    await sleep(1000)

    run(main)
    nothing_is_pending()


def test_a_member_in_a_shield_ends_in_its_own_time() -> None:
    trail = []

    def member() -> Steps:
        with scope(shield=True):
            yield from sleep(0.001)
            trail.append("in the shield")
        yield from sleep(0)
        trail.append("too far")

    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(member)
            ts.cancel()

    run(main)
    assert trail == ["in the shield"]
    nothing_is_pending()


# Generators.


def test_a_dropped_thread_leaves_its_blocks_silently() -> None:
    def main() -> Steps:
        with scope(), scope(shield=True), fail_after(1000):
            yield from suspend()

    thread: Thread[None] | None = newthread(main)
    scheduler = current_scheduler()
    current_member().close()
    local.scheduler = local.member = None
    scheduler.threads.clear()
    scheduler.interruptions.scopes.clear()
    scheduler.timers.heap.clear()
    del thread, scheduler
    gc.collect()


def test_an_async_generator_that_another_thread_goes_on_with() -> None:
    async def ones() -> AsyncGenerator[int, None]:
        with scope():
            yield 1
        yield 2

    async def main() -> None:
        generator = ones()
        first = generator.__anext__()

        async def begin() -> int:
            return await first

        assert await newthread(begin).join() == 1
        with pytest.raises(RuntimeError, match="'.*begin', but left by '.*main'"):
            await generator.__anext__()

    run(main)
    nothing_is_pending()


def test_a_yield_in_a_block_of_an_async_generator_that_is_left_early() -> None:
    async def ones() -> AsyncGenerator[int, None]:
        with scope(shield=True):
            yield 1

    async def main() -> None:
        with pytest.raises(RuntimeError, match="timeout block was left before another"):
            with timeout(60):
                async for _ in ones():
                    break
        await sleep(0)  # now the generator has been closed, in a thread of its own
        await sleep(0)
        nothing_is_pending()
        currentthread().cancel()
        with pytest.raises(Cancelled):
            await sleep(0)

    run(main)
    nothing_is_pending()


def test_a_thread_that_ends_in_a_block_leaves_no_scope() -> None:
    def main() -> Steps:
        scope().__enter__()
        yield from sleep(0)

    run(main)
    nothing_is_pending()
