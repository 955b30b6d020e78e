"""gather() and first(): results and errors, cancellations, and what happens to calls that are not wanted any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, assert_type

import pytest

from pollers import operation
from socket2 import (
    Cancelled,
    Event,
    Operation,
    currentthread,
    first,
    gather,
    newthread,
    run,
    serve_threads,
    sleep,
    start,
    suspend,
    timeout,
)

from ..garbage import generators_keep_their_callers, left_by
from . import test_group

crashes = test_group.crashes

Steps = Generator[Any, Any, Any]
Several = Callable[..., Operation[Any]]

BOTH = pytest.mark.parametrize("several", [gather, first])


def number(n: int) -> Generator[Any, Any, int]:
    yield from sleep(0)
    return n


async def text(n: int = 0) -> str:
    await sleep(0)
    return str(n)


@operation
def octets(n: int = 1) -> Generator[Any, None, bytes]:
    yield from sleep(0)
    return bytes(n)


def fails(error: BaseException, after: Event | None = None) -> Steps:
    if after is not None:
        yield from after.wait()
    else:
        yield from sleep(0)
    raise error


def stubborn(trail: list[Any], name: Any = "stubborn") -> Steps:
    """It takes its time to end."""
    try:
        yield from suspend()
    finally:
        for _ in range(3):
            yield from sleep(0)
        trail.append(name)


def fails_in_its_cleanup() -> Steps:
    try:
        yield from suspend()
    finally:
        raise KeyError("in the cleanup")


# What both do.


def test_results_come_in_the_order_of_the_calls_and_have_types() -> None:
    async def main() -> str:
        made = await gather(partial(number, 1), text(2), octets)
        assert assert_type(made, tuple[int, str, bytes]) == (1, "2", b"\0")
        assert assert_type(await gather(), tuple[()]) == ()
        assert assert_type(await gather(lambda: octets(2)), tuple[bytes]) == (bytes(2),)
        several = [partial(number, n) for n in range(10)]
        assert assert_type(await gather(*several), tuple[int, ...]) == tuple(range(10))
        calls: list[Callable[[], Awaitable[str]]] = [text, text]
        assert assert_type(await gather(*calls), tuple[str, ...]) == ("0", "0")
        gathered = gather(number(1), text, number(3), text, number(5), octets)
        assert assert_type(await gathered, tuple[int, str, int, str, int, bytes]) == (1, "0", 3, "0", 5, b"\0")
        nested = await gather(gather(number(1), text(2)), lambda: first(number(3)))
        assert assert_type(nested, tuple[tuple[int, str], int]) == ((1, "2"), 3)
        return "done"

    assert run(main) == "done"
    assert assert_type(run(gather(number(1), text(2))), tuple[int, str]) == (1, "2")


def test_first_has_the_types_of_all_calls() -> None:
    async def main() -> None:
        assert assert_type(await first(number(1)), int) == 1
        assert assert_type(await first(partial(number, 1), text), int | str) == 1
        assert assert_type(await first(partial(sleep, 100), octets, text), bytes | str | None) == b"\0"
        assert assert_type(await first(*[number(n) for n in range(3)]), int) == 0

    run(main)


@BOTH
def test_calls_run_at_the_same_time(several: Several) -> None:
    def main() -> Steps:
        there, back = Event(), Event()

        def ping() -> Steps:
            there.set()
            yield from back.wait()
            return 1

        def pong() -> Steps:
            yield from there.wait()
            back.set()
            yield from suspend() if several is first else sleep(0)

        assert (yield from several(pong, ping)) in (1, (None, 1))

    run(main)


@BOTH
def test_nothing_begins_before_the_operation_is_awaited(several: Several) -> None:
    begun: list[int] = []

    async def begin(n: int) -> None:
        begun.append(n)

    async def main() -> None:
        op = several(partial(begin, 1))
        await sleep(0)
        assert not begun
        await op
        assert begun == [1]
        with pytest.raises(RuntimeError, match="awaited already"):
            await op
        several(partial(begin, 2)).close()

    run(main)
    with pytest.raises(RuntimeError, match="inside a thread"):
        next(iter(several(partial(begin, 3))))
    assert begun == [1]


@BOTH
def test_what_is_no_call_is_refused_at_once(several: Any) -> None:
    """What is left is dropped. A coroutine that nobody awaits would cause a warning, which is an error here."""
    with pytest.raises(TypeError, match="needs a function"):
        several(text(), 5, octets())
    with pytest.raises(TypeError, match="needs a function"):
        several(None)
    with pytest.raises(ValueError, match="at least one call"):
        first()  # type: ignore[call-overload]

    def main() -> Steps:
        trail: list[Any] = []
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            yield from several(partial(stubborn, trail), number, text(), octets())
        assert trail == ["stubborn"]

    run(main)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        run(gather(number, text))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        run(first(number, text))  # type: ignore[arg-type]


@BOTH
@pytest.mark.parametrize("by", ["cancel", "timeout"])
def test_a_cancel_or_timeout_cancels_all_and_waits_for_them(several: Several, by: str, crashes: list[str]) -> None:
    trail: list[Any] = []

    def owner() -> Steps:
        with timeout(0.005 if by == "timeout" else None):
            yield from several(partial(stubborn, trail, 1), suspend, fails_in_its_cleanup, partial(stubborn, trail, 2))

    def main() -> Steps:
        thread = newthread(owner)
        if by == "cancel":
            thread.cancel()
        with pytest.raises(Cancelled if by == "cancel" else TimeoutError):
            yield from thread.join()
        assert trail == [1, 2]

    run(main)
    assert crashes == ["KeyError('in the cleanup')"]


@BOTH
@pytest.mark.parametrize("kind", ["had succeeded", "ignores the cancel"])
def test_a_result_that_exists_when_the_cancel_comes_is_delivered(several: Several, kind: str) -> None:
    trail: list[Any] = []

    def call(event: Event) -> Steps:
        try:
            yield from event.wait()
        except Cancelled:
            assert kind == "ignores the cancel"
        return "result"

    def owner(event: Event) -> Steps:
        trail.append((yield from several(partial(call, event))))
        yield from sleep(0)
        trail.append("not reached")

    def main() -> Steps:
        event = Event()
        thread = newthread(owner, event)
        if kind == "had succeeded":
            event.set()
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == [("result",) if several is gather else "result"]


@BOTH
def test_a_second_cancel_does_not_cut_the_cleanup_short(several: Several) -> None:
    trail: list[Any] = []

    def main() -> Steps:
        thread = newthread(several, partial(stubborn, trail))
        for _ in range(3):
            thread.cancel()
            yield from sleep(0)
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert trail == ["stubborn"]

    run(main)


@BOTH
def test_a_generator_that_is_dropped_cancels_the_calls(several: Several) -> None:
    trail: list[Any] = []

    def call() -> Steps:
        try:
            yield from suspend()
        finally:
            trail.append("cancelled")

    def main() -> Steps:
        steps = iter(several(call))
        next(steps)
        steps.close()
        assert not trail
        yield from sleep(0)
        yield from sleep(0)
        assert trail == ["cancelled"]

    run(main)


@BOTH
def test_other_threads_get_their_turn(several: Several) -> None:
    turns = 0

    def other() -> Steps:
        nonlocal turns
        while True:
            yield from sleep(0)
            turns += 1

    def main() -> Steps:
        thread = newthread(other)
        for _ in range(1000):
            yield from several(partial(number, 1))
        thread.cancel()

    run(main)
    start()
    assert turns > 5


@BOTH
@pytest.mark.parametrize("case", ["failure", "failures", "timeout", "cancel", "bad call"])
def test_errors_leave_no_cycle(several: Several, case: str) -> None:
    if case in ("failure", "bad call") and generators_keep_their_callers():
        pytest.skip("frames of generators make cycles of their own in this version of Python")

    def fails_at_once() -> Steps:
        raise LookupError
        yield

    def fails_later() -> Steps:
        yield from sleep(0)
        raise ValueError

    async def main() -> None:
        match case:
            case "failure":
                with pytest.raises((LookupError, ExceptionGroup)):
                    await several(fails_at_once)
            case "failures":
                with pytest.raises((ValueError, ExceptionGroup)):
                    await several(fails_later, fails_later)
            case "timeout":
                with pytest.raises(TimeoutError), timeout(0):
                    await several(suspend, suspend)
            case "bad call":
                with pytest.raises(TypeError):
                    await several(suspend, number)
            case _:
                newthread(several, suspend).cancel()
                for _ in range(5):
                    await sleep(0)

    assert left_by(lambda: run(main)) == []


@BOTH
def test_calls_may_run_in_any_os_thread(several: Several) -> None:
    results: list[Any] = []

    def main() -> Steps:
        for _ in range(50):
            results.append((yield from several(partial(number, 1), partial(number, 1), suspend_unless(several))))

    newthread(main)
    assert serve_threads(3)
    assert results == [(1, 1, None) if several is gather else 1] * 50


def suspend_unless(several: Several) -> Callable[[], Operation[Any]]:
    return partial(sleep, 0) if several is gather else suspend


# gather().


def test_the_first_failure_cancels_the_rest(crashes: list[str]) -> None:
    trail: list[Any] = []
    error = ValueError("meant")

    def main() -> Steps:
        with pytest.raises(ValueError, match="meant") as caught:
            yield from gather(partial(stubborn, trail, 1), partial(fails, error), partial(stubborn, trail, 2))
        assert caught.value is error
        assert trail == [1, 2]
        with pytest.raises(ExceptionGroup, match=r"errors in a gather\(\)") as several:
            yield from gather(fails_in_its_cleanup, partial(fails, error), partial(stubborn, trail, 3))
        assert [repr(one) for one in several.value.exceptions] == ["ValueError('meant')", "KeyError('in the cleanup')"]
        assert trail == [1, 2, 3]
        yield from sleep(0)  # there is nothing left to raise

    run(main)
    assert not crashes


def test_a_failure_in_a_first_step_lets_no_other_call_begin() -> None:
    begun: list[int] = []

    def fails_at_once() -> Steps:
        raise ValueError("meant")

    async def begins() -> None:
        begun.append(1)

    def main() -> Steps:
        with pytest.raises(ValueError, match="meant"):
            yield from gather(fails_at_once, begins, text(), octets(), number(1))

    run(main)
    assert not begun


def test_a_call_of_gather_that_is_cancelled_alone_has_failed() -> None:
    trail: list[Any] = []

    def ends_itself() -> Steps:
        currentthread().cancel()
        yield from sleep(0)

    def main() -> Steps:
        with pytest.raises(Cancelled):
            yield from gather(partial(stubborn, trail), ends_itself)
        assert trail == ["stubborn"]

    run(main)
