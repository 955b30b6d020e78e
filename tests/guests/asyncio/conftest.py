"""The tests of our event loop for asyncio run over each poller of this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

import pollers
from pollers import Poller
from socket2.guests.asyncio import EventLoop

from ...interop.peers import LIMIT_S

T = TypeVar("T")

# Windows has neither epoll nor kqueue: see test_system.py.
collect_ignore_glob = ["test_[!s]*.py"] if sys.platform == "win32" else []

Run = Callable[[Callable[[], Coroutine[Any, Any, T]]], T]


@pytest.fixture(params=pollers.available())
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    poller = pollers.choose(request.param)
    yield poller
    poller.shutdown()


@pytest.fixture
def loop(poller: Poller) -> Iterator[EventLoop]:
    loop = EventLoop(poller)
    yield loop
    loop.close()


@pytest.fixture
def run(poller: Poller) -> Run[Any]:
    """Runs an async function in a new loop, for LIMIT_S at most."""

    def run(main: Callable[[], Coroutine[Any, Any, Any]], *, debug: bool = False) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(LIMIT_S):
                return await main()

        with asyncio.Runner(loop_factory=lambda: EventLoop(poller), debug=debug) as runner:
            return runner.run(limited())

    return run
