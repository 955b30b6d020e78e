"""What trio's own tests say about shields and deadlines.

Where ours differ, the fact says how: a scope interrupts its block once, as Thread.cancel() interrupts a thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import Cancelled, fail_after, move_on_after, now, scope, sleep, timeout

from .world import World

# Shields.


async def a_shield_keeps_out_an_outer_cancel(w: World) -> None:
    with scope() as outer:
        with scope(shield=True):
            outer.cancel()
            await sleep(0)
        with pytest.raises(Cancelled):
            await sleep(0)


async def a_shield_can_be_put_up_later(w: World) -> None:
    with scope() as outer, scope() as inner:
        assert inner.shield is False
        outer.cancel()
        inner.shield = True
        assert inner.shield is True
        await sleep(0)
        inner.shield = False
        with pytest.raises(Cancelled):
            await sleep(0)


async def a_shield_is_true_or_false(w: World) -> None:
    with scope() as s:
        with pytest.raises(TypeError, match="hello"):
            s.shield = "hello"  # type: ignore[assignment]
        assert s.shield is False
    with pytest.raises(TypeError):
        scope(shield=1)  # type: ignore[arg-type]


async def a_shield_lets_through_what_is_inside(w: World) -> None:
    with scope(shield=True):
        with scope() as innermost:
            innermost.cancel()
            with pytest.raises(Cancelled):
                await sleep(0)
        await sleep(0)


async def a_shield_does_not_keep_out_its_own_cancel(w: World) -> None:
    with scope() as outer:
        with scope(shield=True) as inner:
            outer.cancel()
            await sleep(0)
            inner.cancel()
            await sleep(0)
            pytest.fail("not reached")
        assert inner.cut_short
        with pytest.raises(Cancelled):
            await sleep(0)


async def a_shield_can_be_raised_and_lowered_many_times(w: World) -> None:
    with scope() as outer, scope() as inner:
        for _ in range(3):
            inner.shield = True
            outer.cancel()
            await sleep(0)
            inner.shield = False
            inner.shield = True
            await sleep(0)
        inner.shield = False
        with pytest.raises(Cancelled):
            await sleep(0)


async def lowering_a_shield_ends_a_wait_at_once(w: World) -> None:
    outer, inner = scope(), scope(shield=True)
    record = []

    async def sleeper() -> None:
        with outer, inner:
            record.append("resting")
            try:
                await w.rest()
            except Cancelled:
                record.append("cancelled")
                raise

    thread = w.start(sleeper)
    outer.cancel()
    await w.blocked()
    assert record == ["resting"]
    inner.shield = False
    await w.blocked()
    assert record == ["resting", "cancelled"]
    await thread.join()


async def a_shield_before_the_block(w: World) -> None:
    s = scope()
    s.shield = True
    with scope() as outer, s:
        outer.cancel()
        await sleep(0)
        s.shield = False
        with pytest.raises(Cancelled):
            await sleep(0)


async def a_shield_raised_while_it_propagates_changes_nothing(w: World) -> None:
    with scope() as outer, scope() as inner:
        outer.cancel()
        try:
            await sleep(0)
        finally:
            inner.shield = True
    assert outer.cut_short
    assert not inner.cut_short


async def _kept_out(w: World, limited: Callable[..., Any]) -> None:
    with scope() as outer, limited(10, shield=True) as inner:
        outer.cancel()
        await sleep(1)
        inner.shield = False
        with pytest.raises(Cancelled):
            await sleep(0)


async def move_on_after_can_shield(w: World) -> None:
    await _kept_out(w, move_on_after)


async def fail_after_can_shield(w: World) -> None:
    await _kept_out(w, fail_after)


async def move_on_after_moves_on_in_its_shield(w: World) -> None:
    with scope() as outer, move_on_after(5, shield=True) as inner:
        outer.cancel()
        await w.rest()
    assert w.passed_s == 5
    assert inner.cut_short


async def fail_after_fails_in_its_shield(w: World) -> None:
    with pytest.raises(TimeoutError), scope() as outer, fail_after(5, shield=True):
        outer.cancel()
        await w.rest()
    assert w.passed_s == 5


async def a_shield_keeps_out_an_outer_deadline(w: World) -> None:
    with move_on_after(1) as outer:
        with scope(shield=True):
            await sleep(5)
        await sleep(5)
    assert w.passed_s == 5
    assert outer.cut_short


async def a_shield_keeps_out_the_cancel_of_the_thread(w: World) -> None:
    record = []

    async def shielded() -> None:
        with scope(shield=True):
            await sleep(1)
            record.append("in the shield")
        record.append("behind it")
        await sleep(1)
        record.append("not reached")

    thread = w.start(shielded)
    thread.cancel()
    await w.end(thread)
    assert record == ["in the shield", "behind it"]


# Deadlines.


async def without_a_deadline_there_is_none(w: World) -> None:
    with scope() as s:
        assert s.deadline is None
        s.deadline = now() + 1
        assert s.deadline == now() + 1
    assert not s.expired


async def a_deadline_after_the_block_is_none(w: World) -> None:
    with scope() as s:
        s.deadline = now() + 1
    await sleep(2)
    assert not s.expired
    assert not s.cancelled


async def a_deadline_that_passes_ends_the_block(w: World) -> None:
    with scope(deadline=now() + 1) as s:
        await w.rest()
        pytest.fail("not reached")
    assert s.expired
    assert s.cut_short
    assert not s.cancelled
    assert w.passed_s == 1


async def a_deadline_can_be_moved_into_the_past(w: World) -> None:
    with scope() as s:
        s.deadline = now() + 10
        await sleep(5)
        s.deadline = now() - 4
        with pytest.raises(Cancelled):
            await sleep(0)
    assert w.passed_s == 5


async def a_deadline_can_be_put_off(w: World) -> None:
    with move_on_after(1) as s:
        assert s.deadline is not None
        s.deadline += 9
        await sleep(5)
        s.deadline += 10
        await w.rest()
    assert w.passed_s == 20


async def a_deadline_can_be_put_off_for_ever(w: World) -> None:
    for never in (None, math.inf):
        with move_on_after(1) as s:
            s.deadline = never
            assert s.deadline == never
            await sleep(1000)
        assert not s.expired


async def a_deadline_is_seen_by_who_only_lets_others_run(w: World) -> None:
    with move_on_after(5):
        await sleep(0)
        w.clock.time_s += 10
        with pytest.raises(Cancelled):
            await sleep(0)


async def many_new_deadlines_leave_no_heap_of_timers(w: World) -> None:
    with scope() as s:
        for _ in range(2000):
            s.deadline = now() + 9999
            s.deadline = now() + 9998
        await sleep(0.01)
        assert len(w.scheduler.timers.heap) < 500


async def the_time_counts_from_the_beginning_of_the_block(w: World) -> None:
    limit = move_on_after(5)
    assert limit.deadline is None
    await sleep(3)
    with limit as s:
        assert s is limit
        assert s.deadline == now() + 5
        s.deadline = now() + 3
        await w.rest()
    assert w.passed_s == 6


async def a_deadline_before_the_block_replaces_its_time(w: World) -> None:
    limit = move_on_after(5)
    limit.deadline = now() + 7
    with limit:
        await w.rest()
    assert w.passed_s == 7


async def of_a_deadline_and_a_time_the_sooner_counts(w: World) -> None:
    with scope(timeout_s=5, deadline=now() + 3):
        await w.rest()
    assert w.passed_s == 3
    with scope(timeout_s=5, deadline=now() + 9):
        await w.rest()
    assert w.passed_s == 8


async def a_deadline_that_has_passed_before_the_block(w: World) -> None:
    s = scope(deadline=now() - 1)
    assert not s.expired
    with s:
        await w.rest()
    assert s.expired
    assert w.passed_s == 0


async def fail_after_raises_timeout_error(w: World) -> None:
    with pytest.raises(TimeoutError, match="longer than 5 s"), fail_after(5):
        await w.rest()
    with fail_after(100):
        await sleep(0)
    assert w.passed_s == 5


async def a_time_is_a_number_and_not_negative(w: World) -> None:
    for limited in (scope, move_on_after, fail_after, timeout):
        for wrong in (-1, math.nan):
            with pytest.raises(ValueError, match="number of seconds"):
                limited(wrong)
        with pytest.raises(TypeError):
            limited("5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        scope(deadline=math.nan)


async def a_wrong_deadline_changes_nothing(w: World) -> None:
    with move_on_after(5) as s:
        before = s.deadline
        with pytest.raises(ValueError, match="NaN"):
            s.deadline = math.nan
        with pytest.raises(TypeError):
            s.deadline = "5"  # type: ignore[assignment]
        assert s.deadline == before
