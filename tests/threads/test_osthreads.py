"""Blocking calls made in OS threads, and the pool that makes them."""

from __future__ import annotations

import functools
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


def start_calls(pool: Pool, work: Work, names: str) -> list[Thread[str]]:
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
    pool: Pool, work: Work, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
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
    assert not caplog.records


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
        with timeout(LIMIT_S):  # the places are free, and the refused calls forgotten
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
