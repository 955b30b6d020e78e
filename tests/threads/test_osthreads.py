"""Blocking calls made in OS threads, and the pool that makes them."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Thread, call_in_thread, newthread, sleep, timeout
from socket2.threads import osthreads
from socket2.threads.osthreads import Pool
from socket2.threads.scheduler import local

from ..interop.peers import LIMIT_S, OSThread, run


class Work:
    """Named calls that block until they are released, and what is known about them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self.os_threads: set[threading.Thread] = set()
        self._running = 0
        self._lock = threading.Lock()
        self._one_has_begun = threading.Semaphore(0)
        self._gates: dict[str, threading.Event] = {}

    def __call__(self, name: str) -> str:
        with self._lock:
            self.begun.append(name)
            self.os_threads.add(threading.current_thread())
            self._running += 1
            self.most = max(self.most, self._running)
            gate = self._gates.setdefault(name, threading.Event())
        self._one_has_begun.release()
        assert gate.wait(LIMIT_S)
        with self._lock:
            self._running -= 1
        return name.upper()

    def let_go(self, *names: str) -> None:
        for name in names:
            with self._lock:
                gate = self._gates.setdefault(name, threading.Event())
            gate.set()

    def wait_for(self, count: int) -> None:
        """Wait until that many more calls have begun."""
        for _ in range(count):
            assert self._one_has_begun.acquire(timeout=LIMIT_S)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def pool(work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool for two calls at a time. Calls that a test leaves blocked are released."""
    pool = Pool(2, "test call")
    yield pool
    monkeypatch.setattr(osthreads, "IDLE_S", 0)  # a busy OS thread ends as soon as it has nothing left to do
    work.let_go(*work.begun)
    pool.end()
    for os_thread in threading.enumerate():
        if os_thread.name == "test call":
            os_thread.join(LIMIT_S)


def calling(pool: Pool, func: Callable[..., Any], *args: Any) -> Generator[Any, None, Any]:
    return (yield from pool.call("call under test", func, args))


def making(func: Callable[..., Any], *args: Any) -> Generator[Any, None, Any]:
    return (yield from call_in_thread(func, *args))


def start_calls(pool: Pool, work: Work, names: str) -> list[Thread]:
    return [newthread(calling, pool, work, name) for name in names]


def settle(os_threads: set[threading.Thread]) -> None:
    for os_thread in os_threads:
        os_thread.join(LIMIT_S)
        assert not os_thread.is_alive()


# call_in_thread.


def test_a_call_returns_what_the_function_returns() -> None:
    assert socket2.run(making, divmod, 17, 5) == (3, 2)


def test_a_call_can_be_awaited() -> None:
    async def main() -> tuple[int, int]:
        return await call_in_thread(divmod, 17, 5)

    assert run(main) == (3, 2)


def test_a_call_raises_what_the_function_raises() -> None:
    failure = KeyError("k")

    def fail() -> None:
        raise failure

    async def main() -> None:
        await call_in_thread(fail)

    with pytest.raises(KeyError) as caught:
        run(main)
    assert caught.value is failure
    assert "fail" in [entry.name for entry in caught.traceback]


def test_a_call_that_raises_stop_iteration_does_not_look_like_one_that_returned() -> None:
    async def main() -> None:
        await call_in_thread(next, iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        run(main)


def test_a_call_takes_any_callable_and_its_arguments() -> None:
    async def main() -> list[Any]:
        return [
            await call_in_thread("a,b".split, ","),
            await call_in_thread(functools.partial(int, "ff", base=16)),
            await call_in_thread(dict),
        ]

    assert run(main) == [["a", "b"], 255, {}]


def test_a_call_is_made_in_another_os_thread() -> None:
    async def main() -> threading.Thread:
        return await call_in_thread(threading.current_thread)

    assert run(main) is not threading.current_thread()


def test_no_coroutine_thread_is_current_inside_a_call() -> None:
    async def main() -> None:
        await call_in_thread(socket2.currentthread)

    with pytest.raises(RuntimeError, match="inside a thread"):
        run(main)


def test_other_threads_run_while_a_call_blocks() -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def block() -> bool:
        blocked.set()
        return go_on.wait(LIMIT_S)

    async def main() -> bool:
        call = newthread(making, block)
        assert blocked.wait(LIMIT_S)
        await sleep(0)
        go_on.set()
        returned: bool = await call.join()
        return returned

    assert run(main)


def test_nothing_is_called_until_it_is_awaited() -> None:
    called: list[int] = []

    async def main() -> None:
        call = call_in_thread(called.append, 1)
        await sleep(0)
        assert called == []
        await call

    run(main)
    assert called == [1]


def test_a_call_outside_a_thread_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="inside a thread"):
        call_in_thread(print)


@pytest.mark.parametrize("func", [None, 5, "print"])
def test_a_call_of_something_that_is_no_function_is_a_type_error(func: Any) -> None:
    async def main() -> None:
        await call_in_thread(func)

    with pytest.raises(TypeError, match="function"):
        run(main)


def test_two_loops_in_two_os_threads_share_the_pool_and_each_gets_its_own_outcomes() -> None:
    def serve(base: int) -> list[int]:
        async def main() -> list[int]:
            return [await call_in_thread(sum, (base, n)) for n in range(50)]

        try:
            return run(main)
        finally:
            socket2.threads.member.current_member().close()

    loops = [OSThread(serve, base) for base in (100, 200)]
    for loop in loops:
        loop.start()
    assert [loop.outcome() for loop in loops] == [[base + n for n in range(50)] for base in (100, 200)]


# The pool.


def test_no_more_calls_run_at_a_time_than_the_pool_has_room_for(pool: Pool, work: Work) -> None:
    async def main() -> list[str]:
        calls = start_calls(pool, work, "abcdef")
        work.wait_for(2)
        assert sorted(work.begun) == ["a", "b"]
        work.let_go(*"abcdef")
        return [await call.join() for call in calls]

    assert run(main) == list("ABCDEF")
    assert work.most == 2
    assert len(work.os_threads) == 2


def test_calls_that_have_to_wait_are_made_in_the_order_they_came(pool: Pool, work: Work) -> None:
    async def main() -> None:
        calls = start_calls(pool, work, "abcdef")
        work.wait_for(2)
        for at in range(2, 6):  # one place becomes free at a time
            work.let_go(work.begun[at - 2])
            work.wait_for(1)
        work.let_go(*work.begun)
        for call in calls:
            await call.join()

    run(main)
    assert sorted(work.begun[:2]) == ["a", "b"]
    assert work.begun[2:] == ["c", "d", "e", "f"]


def test_a_call_that_is_cancelled_before_it_began_is_never_made(pool: Pool, work: Work) -> None:
    async def main() -> None:
        a, b, c, d = start_calls(pool, work, "abcd")
        work.wait_for(2)
        c.cancel()
        with pytest.raises(Cancelled):
            await c.join()
        work.let_go(*"abcd")
        assert [await call.join() for call in (a, b, d)] == ["A", "B", "D"]

    run(main)
    assert sorted(work.begun) == ["a", "b", "d"]


def test_a_call_that_is_cancelled_while_it_runs_frees_its_waiter_at_once(pool: Pool, work: Work) -> None:
    async def main() -> None:
        (a,) = start_calls(pool, work, "a")
        work.wait_for(1)
        a.cancel()
        with pytest.raises(Cancelled):
            await a.join()
        assert not work.os_threads.isdisjoint(threading.enumerate())  # it is still blocked

    run(main)


def test_the_outcome_of_a_call_that_nobody_waits_for_any_more_is_dropped(
    pool: Pool, work: Work, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        work(name)
        raise ZeroDivisionError

    async def main() -> None:
        failing = newthread(calling, pool, fail, "fails")
        (returning,) = start_calls(pool, work, "r")
        work.wait_for(2)
        for call in (failing, returning):
            call.cancel()
        await sleep(0)
        monkeypatch.setattr(osthreads, "IDLE_S", 0)
        work.let_go("fails", "r")
        settle(work.os_threads)
        for call in (failing, returning):
            with pytest.raises(Cancelled):
                await call.join()
        assert await calling_again(pool) == 3

    run(main)
    assert capsys.readouterr().err == ""


async def calling_again(pool: Pool) -> Any:
    return await newthread(calling, pool, len, "abc").join()


def test_a_call_that_was_thrown_away_does_not_count_any_more(pool: Pool, work: Work) -> None:
    """The generator was closed while it waited: the call hangs, and other calls are made."""

    async def main() -> None:
        steps = [calling(pool, work, name) for name in "ab"]
        for one in steps:
            next(one)
        work.wait_for(2)
        for one in steps:
            one.close()
        with timeout(LIMIT_S):
            assert await calling_again(pool) == 3

    run(main)


def test_a_call_that_is_out_of_time_frees_its_waiter_at_once(pool: Pool, work: Work) -> None:
    async def main() -> None:
        began = monotonic()
        with pytest.raises(TimeoutError), timeout(0.02):
            await pool.call("call under test", work, ("a",))
        assert 0.02 <= monotonic() - began < LIMIT_S / 2

    run(main)
    work.wait_for(1)  # it has begun, and is still blocked


def test_a_place_in_the_pool_is_free_again_after_a_call_that_failed(pool: Pool) -> None:
    async def main() -> None:
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                await pool.call("call under test", divmod, (1, 0))
        assert await pool.call("call under test", divmod, (1, 1)) == (1, 0)

    run(main)


def test_an_os_thread_that_cannot_be_started_is_an_error_of_that_call_only(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for _ in range(pool.size):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await pool.call("call under test", called.append, ("refused",))
        with timeout(0.5):  # the places are free, and the refused calls forgotten
            await pool.call("call under test", called.append, ("made",))

    run(main)
    assert called == ["made"]


def test_the_outcome_for_a_loop_that_was_shut_down_meanwhile_is_dropped(
    pool: Pool, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> None:
        start_calls(pool, work, "a")
        work.wait_for(1)
        scheduler = local.scheduler
        assert scheduler is not None
        scheduler.poller.shutdown()
        scheduler.threads.clear()

    loop = OSThread(serve)
    loop.start()
    loop.outcome()
    monkeypatch.setattr(osthreads, "IDLE_S", 0)
    work.let_go("a")
    settle(work.os_threads)  # an exception in one of them would fail the test


# Calls that nobody waits for any more, and those that several wait for.


async def give_up(*threads: Thread) -> None:
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
    """The old call may hang for ever."""

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
