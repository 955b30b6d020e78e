"""Calls in OS threads that nobody waits for any more, or that several wait for, and the ends of the OS threads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import Cancelled, Thread, call_in_thread, newthread, sleep
from socket2.threads import osthreads
from socket2.threads.osthreads import Pool

from ..interop.peers import LIMIT_S, run
from . import test_osthreads
from .test_osthreads import Work, calling_again, making, settle, start_calls

pool = test_osthreads.pool
work = test_osthreads.work


# Calls that nobody waits for any more, and those that several wait for.


async def give_up(*threads: Thread[object]) -> None:
    for thread in threads:
        thread.cancel()
        with pytest.raises(Cancelled):
            await thread.join()


def test_calls_that_hang_on_when_nobody_waits_for_them_keep_no_others_waiting(pool: Pool, work: Work) -> None:
    async def main() -> None:
        for at in range(4):  # twice as many as there is room for
            (hanging,) = start_calls(pool, work, str(at))
            work.wait_for(1)
            await give_up(hanging)
        assert await calling_again(pool) == 3

    run(main)


def test_who_waits_in_the_line_gets_the_place_of_a_call_that_nobody_waits_for(pool: Pool, work: Work) -> None:
    async def main() -> None:
        hanging = start_calls(pool, work, "ab")
        work.wait_for(2)
        waiting = start_calls(pool, work, "cd")
        for call in hanging:
            await give_up(call)
            work.wait_for(1)
        assert sorted(work.begun[2:]) == ["c", "d"]
        work.let_go("c", "d")
        assert [await call.join() for call in waiting] == ["C", "D"]

    run(main)


def test_as_many_os_threads_are_left_as_there_is_room_for(pool: Pool, work: Work) -> None:
    async def main() -> None:
        hanging = start_calls(pool, work, "ab")
        work.wait_for(2)
        await give_up(*hanging)
        calls = start_calls(pool, work, "cd")
        work.wait_for(2)
        work.let_go(*"abcd")
        for call in calls:
            await call.join()
        while len(pool._threads) > pool.size:
            await sleep(0.001)

    run(main)


def test_no_more_calls_than_there_is_an_end_to_hang_on_without_being_counted(
    pool: Pool, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osthreads, "LOST_MAX", 1)

    async def main() -> None:
        hanging = start_calls(pool, work, "abc")
        work.wait_for(2)
        await give_up(*hanging[:2])
        work.wait_for(1)
        await give_up(hanging[2])
        (late,) = start_calls(pool, work, "d")
        assert "d" not in work.begun
        work.let_go(*work.begun, "d")
        assert await late.join() == "D"

    run(main)


def joining(pool: Pool, work: Callable[..., Any], name: str) -> Generator[Any, None, Any]:
    return (yield from pool.call("call under test", work, (name,), name))


def test_equal_calls_are_made_once_for_all(pool: Pool, work: Work) -> None:
    async def main() -> None:
        first = newthread(joining, pool, work, "a")
        work.wait_for(1)
        others = [newthread(joining, pool, work, "a") for _ in range(20)]
        different = newthread(joining, pool, work, "b")
        work.wait_for(1)
        await give_up(first, others.pop(7))  # the others keep waiting
        work.let_go("a", "b")
        for thread in others:
            assert await thread.join() == "A"
        assert await different.join() == "B"
        assert await newthread(joining, pool, work, "a").join() == "A"

    run(main)
    assert work.begun == ["a", "b", "a"]


def test_equal_calls_that_wait_in_the_line_are_made_once_as_well(pool: Pool, work: Work) -> None:
    async def main() -> None:
        busy = start_calls(pool, work, "xy")
        work.wait_for(2)
        waiting = [newthread(joining, pool, work, "a") for _ in range(3)]
        await give_up(waiting.pop(0))
        work.let_go("x", "y", "a")
        for call in busy:
            await call.join()
        assert [await call.join() for call in waiting] == ["A", "A"]

    run(main)
    assert work.begun.count("a") == 1


def test_each_of_those_that_share_a_call_has_an_error_of_its_own(pool: Pool, work: Work) -> None:
    def fail(name: str) -> None:
        work(name)
        raise LookupError(name)

    async def main() -> list[BaseException]:
        threads = [newthread(joining, pool, fail, "a") for _ in range(3)]
        work.wait_for(1)
        work.let_go("a")
        errors: list[BaseException] = []
        for thread in threads:
            with pytest.raises(LookupError, match="a") as caught:
                await thread.join()
            errors.append(caught.value)
        return errors

    assert len(set(map(id, run(main)))) == 3
    assert work.begun == ["a"]


def test_who_asks_again_when_nobody_waits_any_more_asks_anew(pool: Pool, work: Work) -> None:
    """The old call may hang forever."""

    async def main() -> None:
        hanging = newthread(joining, pool, work, "a")
        work.wait_for(1)
        await give_up(hanging)
        again = newthread(joining, pool, work, "a")
        work.wait_for(1)
        work.let_go("a")
        assert await again.join() == "A"

    run(main)


# The ends of its OS threads.


def test_an_os_thread_that_has_nothing_to_do_ends_after_a_while(
    pool: Pool, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osthreads, "IDLE_S", 0.01)
    work.let_go("a", "b")

    async def main() -> None:
        for call in start_calls(pool, work, "ab"):
            await call.join()
        settle(work.os_threads)
        assert await calling_again(pool) == 3  # others take their place

    run(main)


def test_the_os_threads_are_daemons() -> None:
    async def main() -> bool:
        return await call_in_thread(lambda: threading.current_thread().daemon)

    assert run(main)


def test_idle_os_threads_end_when_they_are_told_to(pool: Pool, work: Work) -> None:
    work.let_go(*"ab")

    async def main() -> None:
        for _ in range(50):
            for call in start_calls(pool, work, "ab"):
                await call.join()
            pool.end()
            assert work.os_threads.isdisjoint(threading.enumerate())
            work.os_threads.clear()
        assert await calling_again(pool) == 3  # the pool can still be used

    run(main)


def test_telling_idle_os_threads_to_end_does_not_wait_for_one_that_is_busy(pool: Pool, work: Work) -> None:
    async def main() -> None:
        busy, idle = start_calls(pool, work, "bi")
        work.wait_for(2)
        work.let_go("i")
        await idle.join()
        pool.end()  # otherwise it would wait for the busy one for too long
        work.let_go("b")
        assert await busy.join() == "B"

    run(main)


def test_a_pool_that_was_told_to_end_still_makes_the_calls_in_its_line(pool: Pool, work: Work) -> None:
    async def main() -> None:
        calls = start_calls(pool, work, "abcd")
        work.wait_for(2)
        pool.end()
        work.let_go(*"abcd")
        assert [await call.join() for call in calls] == list("ABCD")

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_makes_its_calls_in_os_threads_of_its_own() -> None:
    """The parent's pool has an idle and a busy OS thread. The child has neither, and must not wait for them."""
    block, blocking = threading.Event(), threading.Event()

    def busy() -> None:
        blocking.set()
        assert block.wait(LIMIT_S)

    async def calls() -> int:
        return await call_in_thread(len, "abc")

    async def main() -> None:
        calling_busy = newthread(making, busy)
        assert blocking.wait(LIMIT_S)
        assert await calls() == 3
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends the child if it hangs
            os._exit(0 if run(calls) == 3 else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await calls() == 3
        block.set()
        await calling_busy.join()

    run(main)
