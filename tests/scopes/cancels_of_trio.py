"""What trio's own tests say about cancelled scopes, scopes in scopes, and wrong use.

Where ours differ, the fact says how: a scope interrupts its block once, as Thread.cancel() interrupts a thread.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack, suppress

import pytest

from socket2 import Cancelled, Event, fail_after, move_on_after, scope, sleep, timeout

from .world import World

# Where a cancel arrives.


async def a_wait_before_the_cancel_goes_on(w: World) -> None:
    with scope() as s:
        await sleep(0)
        s.cancel()
        with pytest.raises(Cancelled):
            await sleep(0)
    assert s.cancelled
    assert not s.cut_short


async def the_first_wait_after_the_cancel_raises(w: World) -> None:
    with scope() as s:
        s.cancel()
        with pytest.raises(Cancelled):
            await w.rest()


async def a_cancel_waits_for_the_end_of_a_shield_in_the_block(w: World) -> None:
    with scope() as s:
        s.cancel()
        for _ in range(2):
            with scope(shield=True):
                await sleep(0)
        with pytest.raises(Cancelled):
            await sleep(0)


async def the_end_of_the_block_swallows_it(w: World) -> None:
    with scope() as s:
        s.cancel()
        await w.rest()
        pytest.fail("not reached")
    assert s.cancelled
    assert s.cut_short
    assert not s.expired


async def two_cancels_are_one(w: World) -> None:
    with scope() as s:
        s.cancel()
        s.cancel()
        await sleep(0)
    assert s.cut_short
    await sleep(0)


async def it_is_raised_once_unlike_in_trio(w: World) -> None:
    with scope() as s:
        s.cancel()
        with pytest.raises(Cancelled):
            await w.rest()
        await sleep(0)
        s.cancel()
        await sleep(0)
    assert not s.cut_short


async def another_thread_cancels_it(w: World) -> None:
    s = scope()

    async def rests() -> str:
        with s:
            await w.rest()
        return "went on"

    thread = w.start(rests)
    await w.blocked()
    s.cancel()
    assert await thread.join() == "went on"


async def a_cancel_before_the_block_counts(w: World) -> None:
    s = scope()
    s.cancel()
    with s, fail_after(1):
        await w.rest()
        pytest.fail("not reached")
    assert s.cut_short
    assert w.passed_s == 0


async def a_cancel_after_the_block_does_nothing(w: World) -> None:
    with scope() as s:
        await sleep(0)
    s.cancel()
    await sleep(0)
    assert not s.cancelled
    assert not s.cut_short


async def what_is_pending_at_the_end_is_dropped(w: World) -> None:
    with scope() as s:
        s.cancel()
        with scope(shield=True):
            await sleep(0)
    await sleep(0)
    assert s.cancelled
    assert not s.cut_short


async def a_thread_that_is_cancelled_at_once_begins(w: World) -> None:
    record = []

    async def blocker() -> None:
        record.append("started")
        await w.rest()

    thread = w.start(blocker)
    thread.cancel()
    await w.end(thread)
    assert record == ["started"]


async def a_scope_in_another_thread_is_another_scope(w: World) -> None:
    async def rests() -> str:
        with scope():
            await sleep(1)
        return "to its end"

    with scope() as s:
        thread = w.start(rests)
        s.cancel()
        await w.rest()
    assert await thread.join() == "to its end"


async def except_exception_does_not_catch_it(w: World) -> None:
    with scope() as s:
        s.cancel()
        with suppress(Exception):
            await w.rest()
        pytest.fail("not reached")
    assert s.cut_short


# One in another.


async def of_two_that_are_cancelled_the_outer_one_wins(w: World) -> None:
    with scope() as first, scope() as second:
        with scope() as third:
            third.cancel()
            second.cancel()
            await w.rest()
        pytest.fail("not reached")
    assert third.cancelled
    assert not third.cut_short
    assert second.cut_short
    assert not first.cancelled
    assert not first.cut_short


async def the_order_of_the_cancels_does_not_matter(w: World) -> None:
    with scope() as outer:
        with scope() as inner:
            outer.cancel()
            inner.cancel()
            await w.rest()
        pytest.fail("not reached")
    assert outer.cut_short
    assert not inner.cut_short


async def an_outer_cancel_passes_through(w: World) -> None:
    with scope() as outer:
        with scope(), move_on_after(100), fail_after(100), timeout(100):
            outer.cancel()
            await w.rest()
        pytest.fail("not reached")
    assert outer.cut_short


async def five_thousand_of_them(w: World) -> None:
    with ExitStack() as stack:
        outermost = stack.enter_context(scope())
        for _ in range(5000):
            stack.enter_context(scope())
        outermost.cancel()


async def five_thousand_of_them_in_a_shield(w: World) -> None:
    with ExitStack() as stack:
        outermost = stack.enter_context(scope())
        stack.enter_context(scope(shield=True))
        for _ in range(5000):
            stack.enter_context(scope())
        outermost.cancel()
        await sleep(0)


# Wrong use.


async def it_cannot_be_entered_in_itself(w: World) -> None:
    with scope() as s, pytest.raises(RuntimeError, match="already been entered"), s:
        pytest.fail("not reached")


async def two_threads_cannot_be_in_it(w: World) -> None:
    s = scope()

    async def enters() -> None:
        with s:
            await w.rest()

    thread = w.start(enters)
    await w.blocked()
    with pytest.raises(RuntimeError, match="already been entered"), s:
        pytest.fail("not reached")
    s.cancel()
    await thread.join()


async def it_can_be_used_again_unlike_in_trio(w: World) -> None:
    s = scope(timeout_s=5)
    for _ in range(2):
        with s:
            s.cancel()
            await w.rest()
        assert s.cut_short
        with s:
            await sleep(0)
        assert not s.cut_short
        assert not s.cancelled
        with s:
            await w.rest()
        assert s.expired
    assert w.passed_s == 10


async def leaving_an_outer_one_first_is_told(w: World) -> None:
    with ExitStack() as stack:
        stack.enter_context(scope())
        with scope(), pytest.raises(RuntimeError, match="before another block"):
            stack.close()


async def leaving_one_of_another_thread_is_told(w: World) -> None:
    s = scope()
    told = []

    async def enters() -> None:
        try:
            with s:
                await w.rest()
        except RuntimeError as error:
            told.append(str(error))
            raise Cancelled from None

    thread = w.start(enters)
    await w.blocked()
    with pytest.raises(RuntimeError, match="entered by .*enters.*, but left by"):
        s.__exit__(None, None, None)
    thread.cancel()
    await w.end(thread)
    assert told == [], "the error on its way is not replaced"


# What is left.


async def a_cancel_leaves_no_garbage(w: World) -> None:
    async def cancels() -> None:
        with scope() as s:
            s.cancel()
            await w.rest()
        with scope() as outer, scope() as inner:
            inner.cancel()
            outer.cancel()
            await w.rest()
        with pytest.raises(RuntimeError):
            inner.__exit__(None, None, None)
        with move_on_after(1, shield=True):
            await w.rest()
        with suppress(TimeoutError), fail_after(1):
            await w.rest()

    gc.collect()
    before = gc.get_debug()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await cancels()
        await cancels()
        gc.collect()
        assert not gc.garbage
    finally:
        gc.set_debug(before)
        gc.garbage.clear()


async def another_error_passes(w: World) -> None:
    with pytest.raises(ExceptionGroup), scope() as s:
        s.cancel()
        raise ExceptionGroup("test", [RuntimeError(), RuntimeError()])
    assert not s.cut_short


async def its_repr_says_how_it_is(w: World) -> None:
    s = scope()
    assert "not entered" in repr(s)
    with s:
        assert "in " in repr(s)
        s.cancel()
        assert "cancelled" in repr(s)
    assert "left" in repr(s)


async def an_event_that_comes_in_time_is_taken(w: World) -> None:
    event = Event()
    with move_on_after(5) as s:
        event.set()
        await event.wait()
    assert not s.expired
