"""What anyio's own tests say about shields.

Where ours differ, the fact says how.
"""

from __future__ import annotations

import pytest

from socket2 import Cancelled, Event, fail_after, move_on_after, scope, sleep

from .world import World

# Shields.


async def a_shield_lasts_until_its_end(w: World) -> None:
    steps = []

    async def child() -> None:
        with move_on_after(10, shield=True) as inner:
            assert inner.shield
            await sleep(0.1)
            steps.append("inner")
        assert not inner.expired
        await sleep(1)
        steps.append("outer")

    thread = w.start(child)
    await w.blocked()
    thread.cancel()
    await w.end(thread)
    assert steps == ["inner"]


async def cancelling_the_outer_one_in_a_shield(w: World) -> None:
    with scope() as outer:
        with scope(shield=True):
            outer.cancel()
            await sleep(0)
        with pytest.raises(Cancelled):
            await sleep(0.01)
        await sleep(0.01)  # it was raised once


async def a_shield_that_is_cancelled_itself(w: World) -> None:
    with scope(shield=True) as s:
        s.cancel()
        with pytest.raises(Cancelled):
            await sleep(0)


async def an_empty_shield_in_a_cleanup(w: World) -> None:
    with scope() as outer:
        outer.cancel()
        try:
            await sleep(0)
        finally:
            with scope(shield=True):
                pass
    assert outer.cut_short


async def a_shield_in_a_cleanup_may_wait(w: World) -> None:
    with scope() as outer:
        outer.cancel()
        try:
            await sleep(0)
        finally:
            with scope(shield=True):
                outer.cancel()
                await sleep(1)
    assert outer.cut_short
    assert w.passed_s == 1


async def a_cancelled_scope_as_a_way_to_wait(w: World) -> None:
    with scope() as outer:
        outer.cancel()
        with scope() as inner:
            inner.cancel()
            await w.rest()
        pytest.fail("not reached")
    assert not inner.cut_short
    assert outer.cut_short


async def an_outer_cancel_while_the_inner_one_is_on_its_way(w: World) -> None:
    with scope() as outer:
        with scope() as inner:
            inner.cancel()
            try:
                await sleep(0)
            finally:
                outer.cancel()
            pytest.fail("not reached")
        pytest.fail("not reached")
    assert not inner.cut_short
    assert outer.cut_short


async def an_outer_cancel_while_a_shield_is_on_its_way_out(w: World) -> None:
    reached = False
    with scope() as outer:
        with scope(shield=True) as inner:
            inner.cancel()
            try:
                await sleep(0)
            finally:
                outer.cancel()
            pytest.fail("not reached")
        reached = True
    assert reached
    assert inner.cut_short
    assert not outer.cut_short


async def a_shield_is_cancelled_by_another_thread(w: World) -> None:
    with scope(shield=True) as s:
        w.start(lambda: s.cancel())
        await sleep(0.5)
        pytest.fail("not reached")
    assert s.cut_short


async def a_shield_comes_and_goes(w: World) -> None:
    completed = []

    async def child() -> None:
        with scope() as s:
            await sleep(0.1)
            s.shield = True
            await sleep(0.1)
            completed.append(True)
            s.shield = False
            await sleep(1)
            pytest.fail("not reached")

    thread = w.start(child)
    await sleep(0.15)
    thread.cancel()
    await w.end(thread)
    assert completed


async def the_inner_of_a_shield_can_be_late(w: World) -> None:
    with pytest.raises(TimeoutError):
        with scope() as outer, scope(shield=True):
            w.start(outer.cancel)
            with fail_after(0.2):
                await sleep(2)
    assert w.passed_s == 0.2


async def an_outer_cancel_passes_a_fail_after(w: World) -> None:
    with scope() as outer:
        with scope():
            w.start(outer.cancel)
            with fail_after(1):
                await sleep(2)
                pytest.fail("not reached")
            pytest.fail("not reached")
        pytest.fail("not reached")
    assert outer.cut_short


async def three_deep_with_the_wait_in_the_outer_one(w: World) -> None:
    with scope() as first:
        with scope() as second, scope(shield=True):
            first.cancel()
            second.cancel()
            await sleep(0)
        await sleep(0)
        pytest.fail("not reached")
    assert first.cut_short


async def three_deep_with_the_wait_in_the_middle(w: World) -> None:
    with scope() as first, scope() as second:
        with scope(shield=True):
            first.cancel()
            await sleep(0)
        await sleep(0)
        pytest.fail("not reached")
    assert first.cut_short
    assert not second.cut_short


async def a_shield_in_a_shield(w: World) -> None:
    with scope() as first:
        with scope(shield=True) as second:
            with scope(shield=True):
                first.cancel()
                second.cancel()
                await sleep(0)
            with pytest.raises(Cancelled):
                await sleep(0)
            await sleep(0)
        await sleep(0)
        pytest.fail("not reached")
    assert first.cut_short
    assert not second.cut_short


async def who_is_cancelled_in_a_shield_does_not_spin(w: World) -> None:
    event = Event()

    async def never_cancelled() -> None:
        with scope(shield=True):
            await event.wait()

    thread = w.start(never_cancelled)
    thread.cancel()
    waits = len(w.clock.waits)
    await sleep(100)
    assert len(w.clock.waits) <= waits + 3
    event.set()
    await w.end(thread)
