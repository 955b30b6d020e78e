"""A cancel during the cleanup of a deadline is never lost, even if several OS threads serve one poller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import Cancelled, newthread, serve_threads, sleep, timeout
from socket2.threads import joining
from socket2.threads.scheduler import Scheduler, local

from ..contract import kinds
from ..interop.peers import LIMIT_S
from .test_lost_interruptions import INNER, PROGRAMS

Steps = Generator[Any, Any, Any]

COUNT = 4
EACH = 4  # the number of threads at a time, for each way to lose a cancel


@pytest.fixture(params=[name for name, manner in kinds.names() if manner == "shared"], autouse=True)
def scheduler(request: pytest.FixtureRequest) -> Scheduler:
    local.scheduler = Scheduler(kinds.make(request.param))
    joining.share(local.scheduler)
    return local.scheduler


def served(main: Callable[[], Steps]) -> None:
    def limited() -> Steps:
        yield from sleep(0)
        with timeout(LIMIT_S):
            yield from main()

    thread = newthread(limited)
    assert serve_threads(COUNT) is True
    thread.result()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_cancel_ends_each_thread_in_the_end(program: Any, scheduler: Scheduler) -> None:
    """The deadlines fire in the OS thread that polls, the cleanups run in any."""
    trails: list[list[str]] = []
    where: set[int] = set()

    def busy() -> Steps:
        while True:
            where.add(threading.get_ident())
            yield from sleep(0)

    def main() -> Steps:
        others = [newthread(busy) for _ in range(COUNT)]
        threads = []
        for inner in INNER * EACH:
            trails.append([])
            threads.append(newthread(program, inner, trails[-1]))
        yield from sleep(0.001)
        for thread in threads:
            thread.cancel()
        for thread in threads:
            with pytest.raises(Cancelled):
                yield from thread.join()
        while len(where) < 2:
            yield from sleep(0.001)
        for other in others:
            other.cancel()

    served(main)
    assert scheduler.interruptions.known == {}
    assert all(len(trail) <= 1 for trail in trails)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_outer_deadline_ends_each_block_in_the_end(program: Any, scheduler: Scheduler) -> None:
    trails: list[list[str]] = []

    def one(inner: Callable[[], Steps], trail: list[str]) -> Steps:
        with pytest.raises(TimeoutError, match=r"longer than 0\.001 s"), timeout(0.001):
            made = program(inner, trail)
            yield from made if program.__name__ == "as_generator" else made.__await__()
        yield from sleep(0)  # it is over: nothing is raised here

    def main() -> Steps:
        threads = []
        for inner in INNER * EACH:
            trails.append([])
            threads.append(newthread(one, inner, trails[-1]))
        for thread in threads:
            yield from thread.join()

    served(main)
    assert scheduler.interruptions.known == {}
    assert all(len(trail) <= 2 for trail in trails)
