"""portal: other OS threads call functions in a loop. Each gets the outcome, and none hangs."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar, assert_type

import pytest

from socket2 import (
    Event,
    call_in_thread,
    currentthread,
    newthread,
    poll,
    portal,
    run,
    serve_threads,
    sleep,
    start,
)
from socket2.threads import joining, scheduler
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..contract.kinds import make, names
from ..interop.peers import LIMIT_S, OSThread, beside
from ..servers.test_server import until

Steps = Generator[Any, Any, Any]
T = TypeVar("T")


def with_portal(func: Callable[[portal], T]) -> T:
    """Call it in another OS thread while a loop runs in this one."""

    def other() -> T:
        try:
            return func(p)
        finally:
            p.close()

    with portal() as p, beside(other) as thread:
        assert start()
    return thread.outcome()


def plain(a: int, b: int = 0) -> int:
    return a + b


def generator(a: int, *, b: int = 0) -> Generator[Any, None, int]:
    yield from sleep(0.001)
    return a + b


async def coroutine(a: int, b: str = "") -> str:
    await sleep(0.001)
    return b * a


# Outcomes.


def test_every_kind_of_function_is_called_in_the_loop() -> None:
    def other(p: portal) -> None:
        assert assert_type(p.call(plain, 1, b=2), int) == 3
        assert assert_type(p.call(generator, 1, b=2), int) == 3
        assert assert_type(p.call(coroutine, 2, b="a"), str) == "aa"
        assert assert_type(p.call(generator(1)), int) == 1
        assert assert_type(p.call(coroutine(2, "b")), str) == "bb"
        assert_type(p.call(sleep, 0), None)
        event = Event()
        event.set()
        assert_type(p.call(event.wait()), None)
        assert p.call(partial(generator, 1, b=1)) == 2
        assert p.call(threading.get_ident) != threading.get_ident()
        future = p.spawn(generator, 1, b=2)
        assert_type(future, Future[int])
        assert future.result(LIMIT_S) == 3
        assert assert_type(p.spawn(plain, 1), Future[int]).result(LIMIT_S) == 1
        assert assert_type(p.spawn(coroutine, 1, "a"), Future[str]).result(LIMIT_S) == "a"

    with_portal(other)


def test_wrong_arguments_are_the_type_checkers_and_raise() -> None:
    def other(p: portal) -> None:
        with pytest.raises(TypeError, match="argument"):
            p.call(plain)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="argument"):
            p.call(generator, 1, 2)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="argument"):
            p.spawn(coroutine).result(LIMIT_S)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="needs a function"):
            p.call(1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="needs a function"):
            p.spawn(None)  # type: ignore[call-overload]
        made = generator(1)
        with pytest.raises(TypeError, match="takes no arguments"):
            p.call(made, b=1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="takes no arguments"):
            p.call(made, 1)  # type: ignore[call-overload]
        assert not p._calls

    with_portal(other)


class OfMine(BaseException):
    """Not an Exception."""


@pytest.mark.parametrize("kind", [LookupError, OfMine, TimeoutError])
def test_errors_arrive_with_their_tracebacks(kind: type[BaseException]) -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise kind("of the loop")

    def fails_at_once() -> None:
        raise kind("of the loop")

    def other(p: portal) -> None:
        for func in (fails, fails_at_once):
            with pytest.raises(kind, match="of the loop") as caught:
                p.call(func)
            assert any(entry.name == func.__name__ for entry in caught.traceback)
            error = p.spawn(func).exception(LIMIT_S)
            assert isinstance(error, kind)
            assert error.__traceback__ is not None

    with_portal(other)


def test_system_exit_reaches_the_caller_and_ends_the_loop_as_always() -> None:
    caught: list[BaseException] = []

    def other() -> None:
        try:
            p.call(sys.exit, 3)
        except SystemExit as error:
            caught.append(error)

    with portal() as p, beside(other):
        with pytest.raises(SystemExit):
            start()
    assert [error.code for error in caught if isinstance(error, SystemExit)] == [3]


def test_the_contextvars_of_the_caller_are_carried() -> None:
    variable = ContextVar("variable", default="of the loop")

    def reads() -> Generator[Any, None, str]:
        before = variable.get()
        variable.set("of the thread")
        yield from sleep(0)
        return before + variable.get()

    def other(p: portal) -> None:
        variable.set("of the caller, ")
        assert p.call(reads) == "of the caller, of the thread"
        future = p.spawn(variable.get)
        variable.set("later")
        assert future.result(LIMIT_S) == "of the caller, "

    with_portal(other)
    assert variable.get() == "of the loop"


def test_a_call_is_a_thread() -> None:
    def other(p: portal) -> None:
        thread = p.call(currentthread)
        assert thread.done
        assert thread.name == "currentthread"
        assert p.call(named) == "named"

    def named() -> Generator[Any, None, str]:
        yield from sleep(0)
        return currentthread().name.rpartition(".")[2]

    with_portal(other)


@pytest.fixture(params=[kind for kind, manner in names() if manner == "bare"])
def poller(request: pytest.FixtureRequest) -> None:
    local.scheduler = Scheduler(make(request.param))


@pytest.mark.usefixtures("poller")
def test_many_calls_of_many_os_threads_over_each_poller() -> None:
    def other(p: portal, number: int) -> int:
        futures = [p.spawn(generator, at) for at in range(20)]
        total = sum(p.call(plain, at, number) for at in range(20))
        return total + sum(future.result(LIMIT_S) for future in futures)

    with portal() as p:
        threads = [OSThread(other, p, number) for number in range(4)]
        for thread in threads:
            thread.start()

        def main() -> Steps:
            yield from until(lambda: not any(thread.is_alive() for thread in threads))

        run(main)
    assert [thread.outcome() for thread in threads] == [380 + 20 * number for number in range(4)]


# Where it may be used.


def test_call_is_refused_where_it_would_wait_for_itself() -> None:
    with portal() as p:
        with pytest.raises(RuntimeError, match="its own OS thread"):
            p.call(plain, 1)

        def main() -> Steps:
            with pytest.raises(RuntimeError, match="its own OS thread"):
                p.call(plain, 1)
            future = p.spawn(plain, 1)
            yield from until(future.done)
            return future.result()

        assert run(main) == 1


def test_a_loop_of_another_os_thread_calls_it() -> None:
    def elsewhere(p: portal) -> None:
        def main() -> Steps:
            return p.call(plain, 1), (yield from call_in_thread(p.call, plain, 2)), p.spawn(plain, 3).result(LIMIT_S)

        assert run(main) == (1, 2, 3)
        current_member().close()

    with_portal(elsewhere)


def test_several_os_threads_serve_the_loop_and_any_runs_the_calls() -> None:
    barrier = threading.Barrier(2)

    def blocks() -> Generator[Any, None, int]:
        yield from sleep(0)
        barrier.wait(LIMIT_S)
        return threading.get_ident()

    def other() -> None:
        try:
            futures = [p.spawn(blocks), p.spawn(blocks)]
            assert len({future.result(LIMIT_S) for future in futures}) == 2
            for number in range(100):
                assert p.call(generator, number) == number
        finally:
            p.close()

    def main() -> Steps:
        with pytest.raises(RuntimeError, match="its own OS thread"):
            p.call(plain, 1)
        yield from ()

    with portal() as p, beside(other):
        thread = newthread(main)
        assert serve_threads(3)
    thread.result()


# How long the loop goes on.


def test_a_loop_goes_on_while_a_portal_is_open_and_only_then() -> None:
    with portal() as p:
        assert not start(0)
        assert not poll(0)
        second = portal()
        p.close()
        p.close()
        assert not start(0)
        second.close()
        assert start()
    assert start()
    assert current_scheduler().hopeless == 0


def test_a_portal_that_is_dropped_lets_the_loop_end() -> None:
    p = portal()
    del p
    gc.collect()
    assert start()
    assert current_scheduler().hopeless == 0


def test_calls_wait_for_a_loop_that_has_not_begun() -> None:
    called = threading.Event()

    def other() -> int:
        future = p.spawn(plain, 1)
        called.set()
        return p.call(plain, 1) + future.result(LIMIT_S)

    with portal() as p, beside(other) as thread:
        assert called.wait(LIMIT_S)

        def main() -> Steps:
            yield from until(lambda: not thread.is_alive())

        run(main)
    assert thread.outcome() == 2


def test_calls_wait_between_two_polls() -> None:
    with portal() as p, beside(lambda: [p.call(generator, number) for number in range(5)]) as thread:
        while thread.is_alive():
            poll(0.01)
    assert thread.outcome() == list(range(5))


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_a_flood_of_calls_does_not_starve_the_loop(shared: bool) -> None:
    """Each step of the thread has its turn after 64 calls, although more have been posted."""
    if shared:
        joining.share(current_scheduler())
    made: list[int] = []

    def main() -> Steps:
        for number in range(1000):
            current_scheduler().post(partial(made.append, number))
        counts = []
        while len(made) < 1000:
            yield from sleep(0)
            counts.append(len(made))
        assert counts[:3] == [64, 128, 192]

    run(main)
    assert made == [*range(1000)]


def test_an_os_thread_that_outruns_the_loop_is_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(scheduler, "_pause", pauses.append)

    def floods(p: portal) -> None:
        for _ in range(scheduler.INBOX_MAX + 10):
            p.spawn(plain, 1)

    with portal() as p:
        with beside(floods, p):  # no loop runs
            pass
        assert pauses == []

        def main() -> Steps:
            os_thread = threading.Thread(target=floods, args=(p,))
            os_thread.start()
            os_thread.join()  # it blocks the loop
            yield from sleep(0)

        run(main)
    assert len(pauses) == scheduler.INBOX_MAX + 10
