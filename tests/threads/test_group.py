"""Threads that end together: outcomes in order, the first error, cancels, and the promises at the end of a block."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from socket2 import Cancelled, Event, call_in_thread, newthread, run, sleep, suspend, threadset
from socket2.threads.member import current_member

Steps = Generator[Any, Any, Any]


def worker(trail: list[Any], name: Any, seconds: float, cleanup_s: float | None = None) -> Steps:
    try:
        yield from sleep(seconds)
        return name
    finally:
        if cleanup_s is not None:
            yield from sleep(cleanup_s)
        trail.append(name)


def failing(error: BaseException, seconds: float = 0) -> Steps:
    yield from sleep(seconds)
    raise error


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reported: list[str] = []
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: reported.append(repr(error)))
    return reported


def test_outcomes_come_in_the_order_of_the_starts() -> None:
    def main() -> Steps:
        trail: list[int] = []
        gates = [Event() for _ in range(4)]

        def member(number: int) -> Steps:
            yield from gates[number].wait()
            trail.append(number)
            gates[number - 1].set()
            return number

        with threadset(keep_outcomes=True) as ts:
            for number in range(4):
                ts.newthread(member, number)
            ts.newthread(lambda: "a plain function")
            gates[2].set()
            return trail, (yield from ts.join())

    trail, outcomes = run(main)
    assert outcomes == [0, 1, 2, 3, "a plain function"]
    assert trail == [2, 1, 0, 3]


def test_a_member_can_start_others_and_is_before_them() -> None:
    def main() -> Steps:
        def parent() -> Steps:
            ts.newthread(child)
            yield from sleep(0.001)
            ts.newthread(child)
            return "parent"

        def child() -> Steps:
            yield from sleep(0.005)
            return "child"

        with threadset(keep_outcomes=True) as ts:
            ts.newthread(parent)
            return (yield from ts.join())

    assert run(main) == ["parent", "child", "child"]


def test_join_of_none_and_join_again() -> None:
    def main() -> Steps:
        with threadset(keep_outcomes=True) as ts:
            assert (yield from ts.join()) == []
            ts.newthread(lambda: 1)
            assert (yield from ts.join()) == [1]
            ts.newthread(lambda: 2)
            assert (yield from ts.join()) == [1, 2]

    run(main)


@pytest.mark.parametrize("first_step", [True, False])
def test_the_first_error_cancels_the_others_and_is_raised_by_join(first_step: bool, crashes: list[str]) -> None:
    trail: list[Any] = []
    error = ValueError("first")

    def fail_at_once() -> Steps:
        raise error
        yield

    def main() -> Steps:
        with threadset() as ts:
            ts.newthread(worker, trail, "other", 1000, 0.001)
            ts.newthread(*(fail_at_once,) if first_step else (failing, error, 0.001))
            with pytest.raises(ValueError, match="first") as caught:
                yield from ts.join()
            assert caught.value is error
            assert trail == ["other"]
            assert ts.newthread(worker, trail, "late", 1000)
            yield from ts.join()
            assert trail == ["other", "late"]

    run(main)
    assert not crashes


def test_several_errors_are_a_group(crashes: list[str]) -> None:
    def fails_when_cancelled() -> Steps:
        try:
            yield from suspend()
        finally:
            raise KeyError("second")

    def main() -> Steps:
        with threadset() as ts:
            ts.newthread(fails_when_cancelled)
            ts.newthread(failing, ValueError("first"))
            yield from ts.join()

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('first')", "KeyError('second')"]
    assert not crashes


def test_the_block_is_interrupted_at_its_wait_and_raises_the_error() -> None:
    trail: list[Any] = []

    def body(ts: threadset[None]) -> Steps:
        ts.newthread(worker, trail, "other", 1000)
        ts.newthread(failing, ValueError("in a member"), 0.001)
        try:
            yield from sleep(1000)
        except Cancelled:
            trail.append("interrupted")
            raise

    def generator() -> Steps:
        with pytest.raises(ValueError, match="in a member"):
            with threadset() as ts:
                yield from body(ts)
        yield from sleep(0.001)  # there is nothing left to raise

    async def coroutine() -> None:
        with pytest.raises(ValueError, match="in a member"):
            async with threadset() as ts:
                await newthread(body, ts).join()
        await sleep(0.001)

    run(generator)
    assert trail == ["other", "interrupted"] or trail == ["interrupted", "other"]


def test_an_error_of_the_body_cancels_the_members_and_stays_itself() -> None:
    trail: list[Any] = []

    async def main() -> None:
        with pytest.raises(LookupError, match="mine"):
            async with threadset() as ts:
                ts.newthread(worker, trail, 1, 1000, 0.001)
                ts.newthread(worker, trail, 2, 1000)
                raise LookupError("mine")
        assert sorted(trail) == [1, 2]

    run(main)


def test_errors_of_body_and_members_are_a_group() -> None:
    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(failing, ValueError("in a member"))
            try:
                await sleep(1000)
            finally:
                raise LookupError("mine")

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [repr(error) for error in caught.value.exceptions] == ["LookupError('mine')", "ValueError('in a member')"]


def test_whoever_left_a_plain_block_ends_after_the_rest(crashes: list[str]) -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        yield from sleep(0)
        with threadset() as ts:
            ts.newthread(worker, trail, "slow cleanup", 1000, 0.01)
            ts.newthread(failing_cleanup)
            ts.cancel()
        assert not trail
        trail.append("left")
        return "outcome"

    def failing_cleanup() -> Steps:
        try:
            yield from suspend()
        finally:
            yield from sleep(0.001)
            raise KeyError("in the cleanup")

    def main() -> Steps:
        outcome = yield from newthread(owner).join()
        assert outcome == "outcome"
        assert trail == ["left", "slow cleanup"]

    run(main)
    assert crashes == ["KeyError('in the cleanup')"]


def test_only_the_thread_that_made_a_set_enters_it() -> None:
    """Otherwise a failure would interrupt the one that made it."""

    def main() -> Steps:
        group = threadset()

        def other() -> None:
            with pytest.raises(RuntimeError, match="only the thread .*main'"), group:
                pass

        yield from newthread(other).join()
        with group:
            yield from group.join()

    run(main)


def test_members_are_started_in_os_threads_of_the_scheduler_only() -> None:
    """A member that no loop runs would never end."""

    def start_one(group: threadset[None]) -> None:
        with pytest.raises(RuntimeError, match="only in an OS thread that serves"):
            group.newthread(sleep, 0)
        current_member().close()

    def main() -> Steps:
        with threadset() as group:
            yield from call_in_thread(start_one, group)
            yield from group.join()

    run(main)


def test_cancel_after_the_end() -> None:
    def main() -> Steps:
        with threadset() as group:
            group.newthread(sleep, 0)
            yield from group.join()
        group.cancel()

    run(main)
