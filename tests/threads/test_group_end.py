"""Threads that end together: cancellations, late ends, nested sets, and what needs a thread."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Event, newthread, run, sleep, start, suspend, threadset, timeout
from socket2.threads.lock import is_held
from socket2.threads.roster import Roster

from . import test_group
from .test_group import failing, worker

crashes = test_group.crashes


Steps = Generator[Any, Any, Any]


@pytest.mark.parametrize("outcome", [ValueError("of the owner"), Cancelled("of the owner"), None])
def test_an_owner_that_ends_late_keeps_its_outcome(outcome: BaseException | None) -> None:
    trail: list[Any] = []

    def owner() -> Any:  # a plain function is a thread, too
        with threadset() as ts:
            ts.newthread(worker, trail, 1, 1000, 0.001)
            if outcome is not None:
                raise outcome
            ts.cancel()
        return "fine"

    def main() -> Steps:
        thread = newthread(owner)
        assert not thread.done
        thread.cancel()  # too late: its function has ended
        if outcome is None:
            assert (yield from thread.join()) == "fine"
        else:
            with pytest.raises(type(outcome), match="of the owner"):
                yield from thread.join()
        assert trail == [1]

    run(main)


@pytest.mark.parametrize("cancels", [1, 3])
def test_a_cancel_of_join_cancels_all_and_waits_for_them(cancels: int, crashes: list[str]) -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        with threadset() as ts:
            ts.newthread(worker, trail, 1, 1000, 0.01)
            ts.newthread(worker, trail, 2, 1000)
            try:
                yield from ts.join()
            finally:
                trail.append("joined")

    def main() -> Steps:
        thread = newthread(owner)
        for _ in range(cancels):
            yield from sleep(0.001)
            thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert trail == [2, 1, "joined"]

    run(main)
    assert not crashes


def test_a_timeout_around_join() -> None:
    trail: list[Any] = []

    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(0.01), threadset() as ts:
            ts.newthread(worker, trail, 1, 1000, 0.001)
            yield from ts.join()
        assert trail == [1]

    run(main)


def test_two_interruptions_of_join_are_both_delivered() -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        with timeout(0.001):
            with threadset() as ts:
                ts.newthread(worker, trail, 1, 1000, 0.02)
                yield from ts.join()

    def caught() -> Steps:
        with pytest.raises(TimeoutError):
            yield from owner()
        trail.append("timed out")
        yield from sleep(1000)

    def main() -> Steps:
        thread = newthread(caught)
        yield from sleep(0.01)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert trail == [1, "timed out"]

    run(main)


def test_a_cancel_goes_its_way_and_errors_that_come_with_it_are_reported(crashes: list[str]) -> None:
    def fails_when_cancelled() -> Steps:
        try:
            yield from suspend()
        finally:
            raise KeyError("in the cleanup")

    async def owner() -> None:
        async with threadset() as ts:
            ts.newthread(fails_when_cancelled)
            await suspend()

    def main() -> Steps:
        thread = newthread(owner)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert crashes == ["KeyError('in the cleanup')"]


@pytest.mark.parametrize("own", [True, False])
def test_an_error_whose_place_a_cancel_takes_while_the_block_is_left_is_reported(crashes: list[str], own: bool) -> None:
    def fails() -> None:
        raise KeyError("of a member")

    async def cleans_up(leaving: Event, may_end: Event) -> None:
        try:
            await suspend()
        finally:
            leaving.set()
            await may_end.wait()

    async def owner(leaving: Event, may_end: Event) -> None:
        async with threadset() as ts:
            ts.newthread(cleans_up, leaving, may_end)
            await sleep(0)
            raise ValueError("of the block")

    async def joined(leaving: Event, may_end: Event) -> None:
        async with threadset() as ts:
            try:
                ts.newthread(fails)
                await ts.join()
            finally:
                ts.newthread(cleans_up, leaving, may_end)

    async def main() -> None:
        leaving, may_end = Event(), Event()
        thread = newthread(owner if own else joined, leaving, may_end)
        await leaving.wait()
        thread.cancel()
        await sleep(0)
        may_end.set()
        with pytest.raises(Cancelled):
            await thread.join()

    run(main)
    assert crashes == ["ValueError('of the block')" if own else "KeyError('of a member')"]


def test_a_member_cancelled_by_itself_is_no_failure() -> None:
    def main() -> Steps:
        with threadset(keep_outcomes=True) as ts:
            thread = ts.newthread(suspend)
            ts.newthread(sleep, 0.001)
            ts.newthread(lambda: 3)
            thread.cancel()
            return (yield from ts.join())

    assert run(main) == [None, None, 3]


def test_somebody_elses_cancel_is_a_failure() -> None:
    def main() -> Steps:
        victim = newthread(suspend)
        with threadset() as ts:
            ts.newthread(victim.join)
            victim.cancel()
            yield from ts.join()

    with pytest.raises(Cancelled):
        run(main)


def test_cancel_of_the_set_lets_the_block_go_on() -> None:
    def main() -> Steps:
        with threadset(keep_outcomes=True) as ts:
            ts.newthread(suspend)
            ts.cancel()
            ts.newthread(suspend)
            yield from sleep(0.001)
            return (yield from ts.join())

    assert run(main) == [None, None]


def test_a_cleanup_is_interrupted_once_only() -> None:
    """A failure, cancel() and the end of the block all cancel: the members get one cancel."""
    trail: list[Any] = []

    async def main() -> None:
        with pytest.raises(ValueError, match="of one"):
            async with threadset() as ts:
                ts.newthread(worker, trail, 1, 1000, 0.01)
                ts.newthread(failing, ValueError("of one"))
                try:
                    await sleep(1000)
                finally:
                    ts.cancel()
        assert trail == [1]

    run(main)


def test_sets_nest_and_an_outer_failure_ends_the_inner_one() -> None:
    trail: list[Any] = []

    def main() -> Steps:
        with pytest.raises(ValueError, match="outer"):
            with threadset() as outer:
                outer.newthread(failing, ValueError("outer"), 0.005)
                with threadset() as inner:
                    inner.newthread(worker, trail, "inner", 1000, 0.001)
                    yield from inner.join()
        assert trail == ["inner"]

    run(main)


def test_what_needs_a_thread_says_so() -> None:
    with pytest.raises(RuntimeError, match="inside a thread"):
        threadset()

    def main() -> Steps:
        ts = threadset()
        with pytest.raises(RuntimeError, match="inside its block"):
            ts.newthread(suspend)
        with ts:
            with pytest.raises(RuntimeError, match="already been entered"):
                ts.__enter__()
            with pytest.raises(RuntimeError, match="main"):
                yield from newthread(lambda: ts.join()).join()
            with pytest.raises(TypeError):
                ts.newthread(suspend, 1, 2, 3)  # type: ignore[call-overload]
            yield from ts.join()

    run(main)


def test_a_deadlock_in_a_set_is_told() -> None:
    def main() -> Steps:
        with threadset() as ts:
            ts.newthread(Event().wait)
            yield from ts.join()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)
    for thread in socket2.threads.scheduler.current_scheduler().threads:
        thread.cancel()
    start()


def test_nothing_keeps_an_error_alive() -> None:
    class Local:
        pass

    def fails(local: Local) -> Steps:
        yield from sleep(0)
        raise ValueError(repr(local))

    def main() -> Steps:
        local = Local()
        dead = weakref.ref(local)
        try:
            with threadset() as ts:
                ts.newthread(fails, local)
                del local
                yield from ts.join()
        except ValueError:
            pass
        del ts
        yield from sleep(0)
        return dead

    gc.collect()
    gc.disable()
    try:
        assert run(main)() is None
    finally:
        gc.enable()


def test_many_members_in_linear_time() -> None:
    def main() -> Steps:
        gone = 0

        def member() -> Steps:
            nonlocal gone
            try:
                yield from suspend()
            finally:
                gone += 1

        with threadset() as ts:
            for _ in range(5000):
                ts.newthread(member)
            ts.cancel()
        yield from sleep(0)
        return gone

    assert run(main) == 5000


def test_a_generator_that_is_dropped_in_its_block_cancels_the_members() -> None:
    trail: list[Any] = []

    def inner() -> Steps:
        with threadset() as ts:
            ts.newthread(worker, trail, 1, 1000)
            yield from sleep(1000)

    def main() -> Steps:
        steps = inner()
        next(steps)
        steps.close()
        assert not trail  # not inside close(), which the garbage collector may have called
        yield from sleep(0)
        yield from sleep(0)
        assert trail == [1]

    run(main)


def test_what_other_os_threads_see_changes_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends the last thread looks at the wait for it, which may have been cancelled."""
    slot: Any = vars(Roster)["_joining"]
    changes: list[bool] = []

    def change(group: Roster, wait: Any) -> None:
        changes.append(is_held())
        slot.__set__(group, wait)

    async def main() -> None:
        async with threadset() as ts:
            ts.newthread(suspend)
            changes.clear()
            with pytest.raises(TimeoutError), timeout(0.001):
                await ts.join()

    monkeypatch.setattr(Roster, "_joining", property(slot.__get__, change))
    run(main)
    assert len(changes) >= 2
    assert all(changes)
