"""A cancel, or an outer deadline, during the cleanup of an inner deadline is raised again and never lost."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from typing import Any

import pytest

from pollers import STREAK_MAX
from socket2 import (
    Cancelled,
    Event,
    Queue,
    currentthread,
    debug,
    newthread,
    run,
    sleep,
    tcp,
    threadset,
    timeout,
)

Steps = Generator[Any, Any, Any]


def by_timeout() -> Steps:
    with timeout(0.01):
        try:
            yield from sleep(100)
        finally:
            yield from sleep(100)


def by_swallowing() -> Steps:
    with timeout(100):
        try:
            yield from sleep(100)
        except Cancelled:
            pass


def by_get_in_time() -> Steps:
    queue: Queue[int] = Queue()
    with timeout(100):
        try:
            yield from sleep(100)
        finally:
            yield from queue.get(timeout_s=0.01)


def by_threadset() -> Steps:
    with threadset():
        try:
            yield from sleep(100)
        except Cancelled:
            pass


def by_timeout_in_the_cleanup() -> Steps:
    try:
        yield from sleep(100)
    finally:
        with timeout(0.001):
            yield from sleep(100)


def by_get_in_the_cleanup() -> Steps:
    queue: Queue[int] = Queue()
    try:
        yield from sleep(100)
    finally:
        yield from queue.get(timeout_s=0.001)


def by_receive_in_the_cleanup() -> Steps:
    with tcp() as listener:
        listener.listen("127.0.0.1", 0)
        listener.settimeout(0.001)
        try:
            yield from sleep(100)
        finally:
            yield from listener.accept()


async def _wait_for_ever_in_the_end() -> None:
    try:
        await sleep(100)
    finally:
        try:
            raise ValueError
        except ValueError:
            with timeout(0.001):
                await sleep(100)


def by_timeout_deep_in_the_cleanup() -> Steps:
    return (yield from _wait_for_ever_in_the_end().__await__())


INNER = [
    by_timeout,
    by_swallowing,
    by_get_in_time,
    by_threadset,
    by_timeout_in_the_cleanup,
    by_get_in_the_cleanup,
    by_receive_in_the_cleanup,
    by_timeout_deep_in_the_cleanup,
]


class Inner:
    def __init__(self, make: Callable[[], Steps]) -> None:
        self.make = make

    def __await__(self) -> Steps:
        return self.make()


def as_generator(inner: Callable[[], Steps], trail: list[str]) -> Steps:
    for _ in range(3):
        try:
            yield from inner()
        except TimeoutError:
            pass
        trail.append("went on")
        yield from sleep(0)


async def as_coroutine(inner: Callable[[], Steps], trail: list[str]) -> None:
    for _ in range(3):
        try:
            await Inner(inner)
        except TimeoutError:
            pass
        trail.append("went on")
        await sleep(0)


PROGRAMS = [as_generator, as_coroutine]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("inner", INNER)
def test_a_cancel_ends_the_thread_in_the_end(inner: Callable[[], Steps], program: Any) -> None:
    trail: list[str] = []

    def main() -> Steps:
        thread = newthread(program, inner, trail)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == ["went on"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("inner", INNER)
def test_an_outer_deadline_ends_its_block_in_the_end(inner: Callable[[], Steps], program: Any) -> None:
    trail: list[str] = []

    def main() -> Steps:
        with pytest.raises(TimeoutError, match=r"longer than 0\.001 s"), timeout(0.001):
            made = program(inner, trail)
            yield from made if program is as_generator else made.__await__()
        yield from sleep(0)  # it is over: nothing is raised here
        assert currentthread().scheduler.interruptions.known == {}

    run(main)
    assert len(trail) <= 2


@pytest.mark.parametrize("inner", [by_timeout, *INNER[4:]])
def test_a_loop_of_inner_deadlines_does_not_lose_a_cancel_for_ever(inner: Callable[[], Steps]) -> None:
    rounds = 0

    def program() -> Steps:
        nonlocal rounds
        while rounds < 10:
            rounds += 1
            try:
                yield from inner()
            except TimeoutError:
                continue

    def main() -> Steps:
        thread = newthread(program)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert currentthread().scheduler.interruptions.known == {}

    run(main)
    assert rounds == 2


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("caught", [True, False])
def test_a_cleanup_that_catches_its_own_deadlines_goes_on(caught: bool, watched: bool) -> None:
    trail: list[str] = []

    def cleanup() -> Steps:
        for _ in range(2):
            try:
                yield from _inner_deadline()
            except TimeoutError:
                trail.append("out of time")
        yield from sleep(0)
        yield from sleep(0.001)
        for _ in range(STREAK_MAX + 1):
            with timeout(100):
                yield from Event().wait(timeout_s=0.0001) if not trail else sleep(0)
        trail.append("cleaned up")

    def program() -> Steps:
        try:
            try:
                yield from sleep(100)
            finally:
                yield from cleanup()
        except Cancelled:
            if not caught:
                raise
        yield from sleep(0)
        trail.append("went on")

    def main() -> Steps:
        thread = newthread(program)
        thread.cancel()
        with nullcontext() if caught else pytest.raises(Cancelled):
            yield from thread.join()
        assert currentthread().scheduler.interruptions.known == {}

    if watched:
        debug.enable()
    try:
        run(main)
    finally:
        if watched:
            debug.disable()
    assert trail[:3] == ["out of time", "out of time", "cleaned up"]
    assert trail[3:] == ["went on"] * caught


def _inner_deadline() -> Steps:
    with timeout(0.0001):
        yield from sleep(100)
