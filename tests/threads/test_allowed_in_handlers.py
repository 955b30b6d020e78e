"""What signal handlers and finalizers may call works before each instruction. What they must not call breaks there."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

from socket2 import Cancelled, Closed, Queue, newthread, portal, run, sleep, start
from socket2.threads.lock import is_held
from socket2.threads.scheduler import current_scheduler

from ..sources import modules_in
from .allowed import BREAKING, CALLS, PLACES
from .test_signal_handlers import MECHANISM, Handler, Injection, Place, everywhere

Steps = Generator[Any, Any, Any]

QUEUES = modules_in("socket2/threads", "queues exchange line wait lock")


def spawned_by_a_handler(handlers: list[Handler]) -> None:
    """Each call is made once, or its caller learns that the loop has ended. The portal keeps none of them."""
    futures: list[Future[None]] = []
    called: list[int] = []

    def handler() -> None:
        with suppress(RuntimeError):  # the loop has ended
            futures.append(p.spawn(called.append, len(futures)))

    def worker() -> Steps:
        future = p.spawn(sleep, 0)
        while not future.done():
            yield from sleep(0)

    with portal() as p:
        handlers.append(handler)
        run(worker)
        handlers.clear()
        run(sleep, 0)
        assert all(future.done() for future in futures)
        assert called == [number for number, future in enumerate(futures) if future.exception() is None]
        assert not p._calls


def test_a_call_through_a_portal_before_each_instruction() -> None:
    everywhere(spawned_by_a_handler, 1, MECHANISM | modules_in("socket2/threads", "portal inbox"))


def breaks(place: str, scenario: Callable[[list[Handler]], bool]) -> bool:
    """Whether the scenario goes wrong if its handler is called before some instruction, where `place` is."""

    def attempt(at: Place | None) -> tuple[bool, list[Place]]:
        handlers: list[Handler] = []

        def call() -> None:
            for handler in handlers:
                handler() if "handler" in place else Dropped(handler)

        with Injection(at, call, QUEUES) as injection:
            try:
                well = scenario(handlers)
            except (KeyError, IndexError, RuntimeError):
                well = False
        handlers.clear()
        scheduler = current_scheduler()
        for thread in list(scheduler.threads):
            thread.cancel()
        start(0)
        return well, injection.places()

    well, places = attempt(None)
    assert well
    return not all(attempt(at)[0] for at in places)


class Dropped:
    """An object whose finalizer calls something."""

    def __init__(self, call: Handler) -> None:
        self._call = call

    def __del__(self) -> None:
        self._call()


def queueing(handlers: list[Handler]) -> bool:
    """Return whether each item was got once."""
    items: Queue[int] = Queue()
    got: list[int] = []

    def handler() -> None:
        with suppress(queue.Empty, Closed):
            items.put_nowait(0)
            got.append(items.get_nowait())

    def getter() -> Steps:
        while True:
            got.append((yield from items.get()))

    def main() -> Steps:
        thread = newthread(getter)
        handlers.append(handler)
        for item in (1, 2, 3):
            items.put_nowait(item)
            yield from sleep(0)
        handlers.clear()
        for _ in range(4):
            yield from sleep(0)
        thread.cancel()
        with suppress(Cancelled):
            yield from thread.join()

    run(main)
    return sorted(item for item in got if item) == [1, 2, 3]


def starting(handlers: list[Handler]) -> bool:
    """Return whether no thread ran in the middle of a change."""
    items: Queue[int] = Queue()
    under_the_lock: list[bool] = []

    def handler() -> None:
        newthread(lambda: under_the_lock.append(is_held()))

    def main() -> Steps:
        handlers.append(handler)
        items.put_nowait(1)
        yield from items.get()
        handlers.clear()

    run(main)
    return not any(under_the_lock)


@pytest.mark.parametrize(
    ("call", "place"),
    [(call, place) for call in BREAKING for place in PLACES if CALLS[call][PLACES.index(place)] == "no"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_not_allowed_breaks_something(call: str, place: str) -> None:
    assert breaks(place, dict(zip(BREAKING, (queueing, starting), strict=True))[call])
