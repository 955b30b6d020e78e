"""What anyio's own tests say about cancelled scopes, deadlines, and wrong use.

Where ours differ, the fact says how.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from socket2 import Cancelled, fail_after, move_on_after, now, scope, sleep

from .world import World

# Where a cancel arrives.


async def a_scope_in_another_thread_can_be_cancelled(w: World) -> None:
    scopes = []
    ended = []

    async def child() -> None:
        with scope() as s:
            scopes.append(s)
            await sleep(2)
            ended.append(True)

    thread = w.start(child)
    scopes[0].cancel()
    await thread.join()
    assert not ended


async def a_cancelled_thread_does_not_get_past_its_first_wait(w: World) -> None:
    marker = []

    async def dummy() -> None:
        marker.append(1)
        await sleep(0)
        marker.append(2)

    thread = w.start(dummy)
    thread.cancel()
    await w.end(thread)
    assert marker == [1]


async def one_thread_can_be_interrupted_twice(w: World) -> None:
    for _ in range(2):
        with scope() as s:
            w.start(lambda one: one.cancel(), s)
            await sleep(1)
            pytest.fail("not reached")
    assert w.passed_s == 0


async def cancelled_before_it_is_entered(w: World) -> None:
    s = scope()
    s.cancel()
    with s:
        await sleep(1)
        pytest.fail("not reached")


async def nothing_is_left_after_the_block(w: World) -> None:
    with move_on_after(0.1):
        await sleep(1)
    await sleep(0)


async def cancelled_without_a_wait(w: World) -> None:
    with scope() as s:
        s.cancel()
    assert s.cancelled
    assert not s.cut_short


async def a_cleanup_after_the_cancel_of_a_thread_is_not_interrupted(w: World) -> None:
    cleaned_up = []

    async def child() -> None:
        try:
            await w.rest()
        finally:
            with scope():
                await sleep(1)
            cleaned_up.append(True)

    thread = w.start(child)
    thread.cancel()
    await w.end(thread)
    assert cleaned_up


async def a_scope_does_not_swallow_the_cancel_of_its_thread(w: World) -> None:
    reached = []

    async def child() -> None:
        with scope(), move_on_after(100):
            await sleep(1)
        reached.append(True)

    thread = w.start(child)
    thread.cancel()
    await w.end(thread)
    assert not reached


async def a_scope_of_a_child_leaves_the_parent_alone(w: World) -> None:
    async def child() -> None:
        with scope() as s:
            s.cancel()
            await sleep(1)

    with scope() as s:
        await w.start(child).join()
        await sleep(0)
    assert not s.cancelled


# Deadlines.


async def _fails(w: World, delay: float) -> None:
    with pytest.raises(TimeoutError):
        with fail_after(delay) as s:
            try:
                await sleep(1)
            except Cancelled:
                raise
            pytest.fail("not reached")
    assert s.expired
    assert s.cut_short
    assert w.passed_s == delay


async def fail_after_no_time(w: World) -> None:
    await _fails(w, 0)


async def fail_after_some_time(w: World) -> None:
    await _fails(w, 0.1)


async def fail_after_none_never_fails(w: World) -> None:
    with fail_after(None) as s:
        assert s.deadline is None
        await sleep(0.1)
    assert not s.expired
    assert not s.cut_short


async def fail_after_works_after_a_cancel(w: World) -> None:
    with scope() as s:
        s.cancel()
        await w.rest()
    with pytest.raises(TimeoutError), fail_after(0.1):
        await sleep(0.5)
        pytest.fail("not reached")


async def fail_after_fails_when_it_is_cancelled_as_in_trio(w: World) -> None:
    with pytest.raises(TimeoutError, match="was cancelled"), fail_after(1) as s:
        s.cancel()
        await sleep(0)
    assert not s.expired


async def fail_after_says_that_its_deadline_was_moved(w: World) -> None:
    with pytest.raises(TimeoutError, match="deadline"), fail_after(1) as s:
        s.deadline = now() + 3
        await sleep(5)
    assert w.passed_s == 3


async def _moves_on(w: World, delay: float) -> None:
    with move_on_after(delay) as s:
        await sleep(1)
        pytest.fail("not reached")
    assert s.expired
    assert s.cut_short
    assert w.passed_s == delay


async def move_on_after_no_time(w: World) -> None:
    await _moves_on(w, 0)


async def move_on_after_some_time(w: World) -> None:
    await _moves_on(w, 0.1)


async def move_on_after_none_never_moves_on(w: World) -> None:
    with move_on_after(None) as s:
        assert s.deadline is None
        await sleep(0.1)
    assert not s.expired


async def an_outer_deadline_ends_the_inner_block_too(w: World) -> None:
    with move_on_after(0.1) as outer:
        with move_on_after(1) as inner:
            await sleep(2)
            pytest.fail("not reached")
        pytest.fail("not reached")
    assert outer.expired
    assert outer.cut_short
    assert not inner.expired
    assert not inner.cut_short


async def _fails_at(w: World, delay: float) -> None:
    with pytest.raises(TimeoutError), fail_after(None) as s:
        s.deadline = now() + delay
        await sleep(1)
    assert s.cut_short
    assert w.passed_s == delay


async def fail_at_once(w: World) -> None:
    await _fails_at(w, 0)


async def fail_at_a_time(w: World) -> None:
    await _fails_at(w, 0.1)


async def _moves_on_at(w: World, delay: float) -> None:
    with scope(deadline=now() + delay) as s:
        await sleep(1)
        pytest.fail("not reached")
    assert s.cut_short
    assert w.passed_s == delay


async def move_on_at_once(w: World) -> None:
    await _moves_on_at(w, 0)


async def move_on_at_a_time(w: World) -> None:
    await _moves_on_at(w, 0.1)


async def a_deadline_at_the_start_reaches_the_first_wait(w: World) -> None:
    with move_on_after(0):
        await sleep(0)
        pytest.fail("not reached")


async def a_deadline_is_put_off(w: World) -> None:
    with fail_after(0.1) as s:
        assert s.deadline is not None
        s.deadline += 0.3
        await sleep(0.2)


async def a_deadline_with_a_thread_of_its_own(w: World) -> None:
    with pytest.raises(TimeoutError), fail_after(0.1):
        thread = w.start(sleep, 2)
        try:
            await sleep(2)
        finally:
            thread.cancel()
            await w.end(thread)


async def a_shield_keeps_out_the_deadlines_around_it(w: World) -> None:
    with move_on_after(10) as outer:
        with scope(shield=True), move_on_after(1000) as inner:
            await sleep(900)
    assert w.passed_s == 900
    assert outer.expired
    assert not outer.cut_short
    assert not inner.expired


# Wrong use.


async def the_wrong_order_is_told(w: World) -> None:
    first, second = scope(), scope()
    first.__enter__()
    second.__enter__()
    with pytest.raises(RuntimeError, match="scope block was left before another"):
        first.__exit__(None, None, None)
    second.__exit__(None, None, None)


async def leaving_before_entering_is_told(w: World) -> None:
    for one in (scope(), fail_after(1)):
        with pytest.raises(RuntimeError, match="not been entered"):
            one.__exit__(None, None, None)


async def leaving_in_the_wrong_thread_is_told(w: World) -> None:
    async def leaves() -> None:
        s.__exit__(None, None, None)

    s = scope()
    s.__enter__()
    with pytest.raises(RuntimeError, match="but left by"):
        await w.start(leaves).join()


async def a_cancel_in_a_group_of_exceptions_is_not_taken_out_unlike_in_anyio(w: World) -> None:
    with pytest.raises(BaseExceptionGroup), scope() as s:
        s.cancel()
        try:
            await w.rest()
        except Cancelled as error:
            raise BaseExceptionGroup("", [error]) from None
    assert not s.cut_short


# Where the block stands.


async def in_a_context_manager(w: World) -> None:
    @contextlib.contextmanager
    def limited() -> Iterator[scope]:
        with move_on_after(1) as s:
            yield s

    with limited() as s:
        await w.rest()
    assert s.cut_short


async def in_an_async_generator(w: World) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            with move_on_after(1) as s:
                await w.rest()
            assert s.cut_short
            yield number

    with move_on_after(2.5) as s:
        async for number in numbers():
            last = number
    assert s.cut_short
    assert last == 1


async def around_an_async_generator_that_is_dropped(w: World) -> None:
    async def numbers() -> AsyncIterator[int]:
        with scope():
            yield 1
            yield 2

    async with contextlib.aclosing(numbers()) as ones:  # type: ignore[type-var]
        async for _ in ones:
            break
    with scope() as s:
        s.cancel()
        await w.rest()
    assert s.cut_short
