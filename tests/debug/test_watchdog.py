"""Threads that block the loop are reported, with the code that blocks it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from socket2 import debug, newthread, run, sleep

from ..interop.peers import LIMIT_S, OSThread

Steps = Generator[Any, None, Any]

LOOSE_S = 1000.0
"""A limit that nothing exceeds."""


@contextmanager
def watched(slow_s: float) -> Iterator[None]:
    debug.enable(slow_s, None, False)
    try:
        yield
    finally:
        debug.disable()


class Reports(logging.Handler):
    """The reports in order, from any OS thread."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.texts.append(record.getMessage())
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.texts) >= count, LIMIT_S), self.texts


@pytest.fixture
def reports() -> Iterator[Reports]:
    handler = Reports()
    logger = logging.getLogger("socket2")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def block_until(done: Callable[[], object]) -> None:
    done()


def test_a_thread_that_blocks_is_reported_once_while_it_does_and_once_after(reports: Reports) -> None:
    def blocker() -> Steps:
        yield from sleep(0)
        block_until(lambda: reports.wait_for(1))
        begun = monotonic()
        while monotonic() - begun < 0.2:  # no second report of the same turn
            pass

    def main() -> Steps:
        yield from newthread(blocker, name="greedy").join()

    with watched(0.02):
        run(main)
    during, after = reports.texts
    assert re.match(r"thread 'greedy' has been running for \d+ ms and blocks the loop; it is here:\n", during)
    functions = re.findall(r", in \S*?(\w+)$", during.replace("<lambda>", "lambda_"), re.MULTILINE)
    assert functions[:3] == ["blocker", "block_until", "lambda_"]
    assert "    block_until(lambda: reports.wait_for(1))" in during
    assert re.fullmatch(r"thread 'greedy' ran for \d+ ms and blocked the loop", after)


def test_each_turn_is_reported_on_its_own(reports: Reports) -> None:
    def blocker() -> Steps:
        for count in (1, 3):
            yield from sleep(0)
            reports.wait_for(count)

    with watched(0.02):
        run(blocker)
    assert [" has been running for " in text for text in reports.texts] == [True, False, True, False]


def test_a_thread_that_blocks_in_its_first_step_is_to_blame_and_not_the_one_that_started_it(reports: Reports) -> None:
    def inner() -> Steps:
        reports.wait_for(1)
        return
        yield

    def outer() -> Steps:
        newthread(inner, name="inner")
        return
        yield

    with watched(0.02):
        thread = newthread(outer, name="outer")
    thread.result()
    during, after = reports.texts
    assert during.startswith("thread 'inner' has been running for ")
    assert ".inner\n" in during
    assert after.startswith("thread 'inner' ran for ")


def test_a_thread_is_to_blame_for_what_it_does_after_another_ones_first_step(reports: Reports) -> None:
    def inner() -> Steps:
        yield from sleep(0)

    def outer() -> Steps:
        newthread(inner)
        reports.wait_for(1)
        yield from newthread(inner).join()
        yield from sleep(0)

    with watched(0.02):
        run(outer)
    assert [text.partition(" ran")[0].partition(" has")[0] for text in reports.texts] == [
        f"thread '{outer.__qualname__}'"
    ] * 2


def test_a_turn_that_nobody_has_seen_is_reported_when_it_is_over(reports: Reports) -> None:
    """C code that holds the GIL causes such a turn."""
    with watched(LOOSE_S):
        watchdog = debug._debugging.watchdog if debug._debugging is not None else None
        assert watchdog is not None

        def main() -> Steps:
            watchdog.limit_s = 0.0
            yield from sleep(0)
            watchdog.limit_s = LOOSE_S

        run(main)
    assert len(reports.texts) == 1
    assert re.fullmatch(r"thread '.*main' ran for 0 ms and blocked the loop", reports.texts[0])


def test_a_thread_that_waits_is_not_reported(reports: Reports) -> None:
    def main() -> Steps:
        for _ in range(10):
            yield from sleep(0.03)

    with watched(0.02):
        run(main)
    assert [text for text in reports.texts if "has been running" in text] == []


def test_loops_of_several_os_threads_are_watched(reports: Reports) -> None:
    def main() -> Steps:
        reports.wait_for(2)
        return
        yield

    with watched(0.02):
        others = [OSThread(lambda: run(main)) for _ in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.outcome()
    assert sum("has been running" in text for text in reports.texts) == 2


def test_disabled_nothing_is_reported(reports: Reports) -> None:
    def main() -> Steps:
        begun = monotonic()
        while monotonic() - begun < 0.05:
            pass
        yield from sleep(0)

    with watched(0.01):
        pass
    run(main)
    assert reports.texts == []
