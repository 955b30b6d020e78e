"""The lengths of queues: by the line that made them, only while debugging is on, without keeping them alive."""

from __future__ import annotations

import gc
import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import socket2
from socket2 import Queue, debug, newthread, run, sleep

Steps = Generator[Any, Any, Any]


@pytest.fixture(autouse=True)
def debugging() -> Iterator[None]:
    debug.enable(slow_s=None, signum=None, serve=False)
    yield
    debug.disable()


def queues() -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(debug.report("facts"))["queues"]
    return [queue for queue in told if queue["made_at"].rpartition(":")[0] == __file__]


def test_queues_of_one_line_are_counted_together() -> None:
    def main() -> Steps:
        made: list[Queue[int]] = [Queue(2) for _ in range(3)]
        for queue, count in zip(made, (0, 1, 2), strict=True):
            for item in range(count):
                queue.put_nowait(item)
        threads = [newthread(made[0].get), newthread(made[2].put, 9), newthread(made[2].put, 9)]
        yield from sleep(0)
        (told,) = queues()
        assert (told["kind"], told["queues"], told["items"], told["longest"]) == ("queue", 3, 3, 2)
        assert (told["size"], told["getting"], told["putting"]) == (2, 1, 2)
        for thread in threads:
            thread.cancel()
        yield from sleep(0)

    run(main)


def test_a_queue_that_is_dropped_is_forgotten() -> None:
    queue: Queue[int] | None = Queue()
    assert len(queues()) == 1
    del queue
    gc.collect()
    assert not queues()


def test_nothing_is_noted_while_debugging_is_off() -> None:
    debug.disable()
    queue: Queue[int] = Queue()
    assert not queues()
    del queue


def test_a_channel_and_a_priority_queue_are_named_as_such() -> None:
    made = [socket2.PriorityQueue[int](), socket2.channel(1)]
    assert {told["kind"] for told in queues()} == {"priority queue", "channel"}
    assert made
