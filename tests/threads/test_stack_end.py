"""A thread that wakes others at the end of the stack gets RecursionError. It has woken them or not: none is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from socket2 import Cancelled, Event, Queue, Semaphore, Thread, newthread, resume, run, sleep, suspend
from socket2.threads import joining
from socket2.threads.scheduler import current_scheduler

Steps = Generator[Any, Any, Any]


def down(levels: int, call: Callable[[], object]) -> object:
    return down(levels - 1, call) if levels > 0 else call()


def depth() -> int:
    frame, levels = sys._getframe(), 0
    while frame is not None:
        frame, levels = frame.f_back, levels + 1  # type: ignore[assignment]
    return levels


class Wakes:
    """A thread that waits, and how to wake it."""

    def __init__(self) -> None:
        self.event, self.semaphore = Event(), Semaphore(0)
        self.queue: Queue[str] = Queue()
        self.thread: Thread[object] | None = None

    def call(self, how: str) -> None:
        assert self.thread is not None
        match how:
            case "set":
                self.event.set()
            case "put_nowait":
                self.queue.put_nowait("item")
            case "release":
                self.semaphore.release()
            case "resume":
                resume(self.thread)
            case "cancel":
                self.thread.cancel()

    def wait(self, how: str) -> Any:
        waits: dict[str, Any] = {
            "set": self.event.wait,
            "put_nowait": self.queue.get,
            "release": self.semaphore.acquire,
        }
        wait = waits.get(how, suspend)
        return wait()


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("how", ["set", "put_nowait", "release", "resume", "cancel"])
def test_at_each_depth(how: str, shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    ended: list[bool] = []

    def waiter(wakes: Wakes) -> Steps:
        with suppress(Cancelled):
            yield from wakes.wait(how)
            yield from sleep(0)
        ended.append(True)

    def main() -> Steps:
        limit = sys.getrecursionlimit()
        raised = 0
        for room in range(60):
            wakes = Wakes()
            wakes.thread = thread = newthread(waiter, wakes)
            yield from sleep(0)
            yield from sleep(0)
            sys.setrecursionlimit(depth() + 300)
            try:
                down(300 - 4 - room, lambda wakes=wakes: wakes.call(how))  # type: ignore[misc]
            except RecursionError:
                raised += 1
            finally:
                sys.setrecursionlimit(limit)
            with suppress(RuntimeError):  # it was resumed already
                wakes.call(how)
            yield from thread.join()
            assert len(ended) == room + 1
        return raised

    assert 0 < run(main) < 60
    assert current_scheduler().hopeless == 0
