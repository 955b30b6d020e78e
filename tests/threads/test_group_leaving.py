"""How a block of threads is left: it waits for them, or cancels them. What a group keeps of threads that have ended."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from typing import Any, assert_type

import pytest

from socket2 import (
    Cancelled,
    Event,
    Operation,
    currentthread,
    newthread,
    run,
    sleep,
    start,
    suspend,
    threadset,
    timeout,
)

from . import test_group
from .test_group import failing, worker

crashes = test_group.crashes

Steps = Generator[Any, Any, Any]


def stubborn(trail: list[Any], name: Any) -> Steps:
    """It takes its time to end."""
    try:
        yield from suspend()
    finally:
        for _ in range(3):
            yield from sleep(0)
        trail.append(name)


# `async with`.


def test_the_end_of_the_block_waits() -> None:
    trail: list[Any] = []

    async def main() -> str:
        async with threadset() as ts:
            first = ts.newthread(worker, trail, 1, 0.01, 0.001)
            ts.newthread(worker, trail, 2, 0.001)
            trail.append("left")
        assert first.done
        with pytest.raises(RuntimeError, match="inside its block"):
            ts.newthread(worker, trail, 3, 1000)
        for _ in range(2):
            async with threadset() as ts:
                ts.newthread(worker, trail, 4, 0.001)
                continue
        async with threadset() as ts:
            ts.newthread(worker, trail, 5, 0.001)
            return "returned"

    assert run(main) == "returned"
    assert trail == ["left", 2, 1, 4, 4, 5]


def test_members_may_start_members_while_the_block_waits() -> None:
    trail: list[int] = []

    async def main() -> None:
        async with threadset() as ts:

            def link(left: int) -> Steps:
                yield from sleep(0)
                trail.append(left)
                if left:
                    ts.newthread(link, left - 1)

            ts.newthread(link, 5)
        assert trail == [5, 4, 3, 2, 1, 0]

    run(main)


@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_while_the_block_waits_cancels_the_others(count: int, crashes: list[str]) -> None:
    trail: list[Any] = []

    def fails_when_cancelled() -> Steps:
        try:
            yield from suspend()
        finally:
            raise KeyError("second")

    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(stubborn, trail, "other")
            ts.newthread(failing, ValueError("first"), 0.001)
            if count == 2:
                ts.newthread(fails_when_cancelled)

    with pytest.raises(ValueError if count == 1 else ExceptionGroup) as caught:
        run(main)
    if isinstance(caught.value, ExceptionGroup):
        assert [repr(error) for error in caught.value.exceptions] == ["ValueError('first')", "KeyError('second')"]
    assert trail == ["other"]
    assert not crashes


@pytest.mark.parametrize("by", ["cancel", "timeout"])
def test_a_cancel_or_timeout_while_the_block_waits_cancels_the_members(by: str, crashes: list[str]) -> None:
    trail: list[Any] = []

    async def owner() -> None:
        with timeout(0.005 if by == "timeout" else None):
            async with threadset() as ts:
                ts.newthread(stubborn, trail, "member")
        trail.append("not reached")

    async def main() -> None:
        thread = newthread(owner)
        if by == "cancel":
            await sleep(0)
            thread.cancel()
        with pytest.raises(Cancelled if by == "cancel" else TimeoutError):
            await thread.join()

    run(main)
    assert trail == ["member"]
    assert not crashes


def test_cancel_ends_background_threads_at_the_end_of_the_block() -> None:
    trail: list[Any] = []

    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(stubborn, trail, "background")
            await sleep(0)
            ts.cancel()
        assert trail == ["background"]

    run(main)


@pytest.mark.parametrize("waiting", ["in the block", "at its end"])
def test_a_coroutine_that_is_dropped_in_its_block_cancels_the_members(waiting: str) -> None:
    trail: list[Any] = []

    async def inner() -> None:
        async with threadset() as ts:
            ts.newthread(worker, trail, 1, 1000)
            if waiting == "in the block":
                await suspend()

    async def main() -> None:
        coro = inner()
        coro.send(None)
        coro.close()  # it must not wait
        assert not trail
        await sleep(0)
        await sleep(0)
        assert trail == [1]

    run(main)


# A plain `with`.


def test_a_plain_block_must_have_waited(crashes: list[str]) -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        yield from sleep(0)
        with pytest.raises(RuntimeError, match=r"cannot wait at its end, and 2 of its threads were still alive"):
            with threadset() as ts:
                ts.newthread(worker, trail, "ends at once", 1000)
                ts.newthread(stubborn, trail, "ends late")
                ts.newthread(sleep, 0).cancel()
                yield from sleep(0)
                trail.append("end of the block")
        assert trail == ["end of the block", "ends at once"]
        trail.append("left")

    def main() -> Steps:
        yield from newthread(owner).join()
        assert trail == ["end of the block", "ends at once", "left", "ends late"]

    run(main)
    assert not crashes


def test_a_plain_block_that_has_not_waited_raises_the_errors_of_its_members_too() -> None:
    def fails_when_cancelled() -> Steps:
        try:
            yield from suspend()
        finally:
            raise KeyError("in the cleanup")

    def main() -> Steps:
        yield from sleep(0)
        with threadset() as ts:
            ts.newthread(fails_when_cancelled)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [type(error) for error in caught.value.exceptions] == [RuntimeError, KeyError]


def test_a_plain_block_whose_members_have_ended_needs_no_join() -> None:
    def main() -> Steps:
        with threadset() as ts:
            ts.newthread(lambda: 1)
            yield from ts.newthread(sleep, 0).join()
        with threadset():
            pass

    run(main)


def test_leaving_a_plain_block_by_an_error_ends_those_that_need_no_wait() -> None:
    trail: list[Any] = []

    def main() -> Steps:
        me = currentthread()
        yield from sleep(0)
        with pytest.raises(LookupError):
            with threadset() as ts:
                ts.newthread(worker, trail, 1, 1000)
                threads = [ts.newthread(suspend), ts.newthread(worker, trail, 2, 1000)]
                raise LookupError
        assert trail == [1, 2]
        assert all(thread.done for thread in threads)
        assert currentthread() is me

    run(main)


def test_a_plain_block_whose_threads_were_cancelled_is_left_at_once() -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        yield from sleep(0)
        with threadset() as ts:
            ts.newthread(stubborn, trail, 1)
            ts.cancel()
            ts.newthread(stubborn, trail, 2)
        trail.append("left")

    def main() -> Steps:
        yield from newthread(owner).join()
        assert trail == ["left", 1, 2]

    run(main)


# What a group keeps.


def test_a_group_keeps_nothing_of_threads_that_have_ended() -> None:
    def waits() -> Steps:
        yield from sleep(0)
        return bytearray(1)

    async def start_and_end(ts: threadset[None], count: int) -> int:
        for _ in range(count):
            ts.newthread(bytearray, 1)
            ts.newthread(waits)
            await sleep(0)
            await sleep(0)
        gc.collect()
        return sys.getallocatedblocks()

    async def main() -> None:
        async with threadset() as ts:
            at_rest = await start_and_end(ts, 1000)
            assert await start_and_end(ts, 50_000) - at_rest < 1000

    run(main)


def test_a_group_keeps_outcomes_if_it_is_asked_to() -> None:
    async def main() -> None:
        async with threadset(keep_outcomes=True) as ts:
            for number in range(3):
                ts.newthread(int, number)
            ts.newthread(suspend).cancel()
            assert assert_type(await ts.join(), list[Any]) == [0, 1, 2, None]
        async with threadset() as forgetful:
            forgetful.newthread(lambda: 1)
            assert_type(forgetful, threadset[None])
            assert_type(forgetful.join(), Operation[None]).close()
            waiting: Operation[object] = forgetful.join()
            assert await waiting is None
        for keep in (False, True):
            async with threadset(keep_outcomes=keep) as either:
                assert assert_type(await either.join(), list[Any] | None) == ([] if keep else None)

    run(main)


def test_the_error_of_a_member_is_kept_until_it_is_raised() -> None:
    async def main() -> None:
        error = ValueError("of a member")
        async with threadset() as ts:
            ts.newthread(failing, error)
            with pytest.raises(ValueError, match="of a member") as caught:
                await ts.join()
            assert caught.value is error
            await ts.join()  # it is raised once

    run(main)


def test_a_block_that_waits_for_ever_is_a_deadlock() -> None:
    event = Event()

    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(event.wait)

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)
    event.set()
    start()
