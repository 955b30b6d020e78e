"""socket2, threads as generators: newthread, suspend and resume, timeout and the timers below it, addr."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any

import socket2
from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter
from socket2.threads.scheduler import current_scheduler
from socket2.threads.timers import Timer

run = socket2.run
Steps = Generator[Any, Any, None]


def _return() -> Steps:
    return
    yield


def _wait_once() -> Steps:
    yield from socket2.sleep(0)


def spawn(meter: Meter, count: int) -> Steps:
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                for thread in [socket2.newthread(body) for _ in range(BATCH)]:
                    yield from thread.join()


def _answer(asker: socket2.Thread[object]) -> Steps:
    while True:
        yield from socket2.suspend()
        socket2.resume(asker)


def switch(meter: Meter, count: int) -> Steps:
    partner = socket2.newthread(_answer, socket2.currentthread())
    with meter.measuring("switch", count):
        for _ in range(count // 2):
            socket2.resume(partner)
            yield from socket2.suspend()
    partner.cancel()


def timers(meter: Meter, count: int) -> Steps:
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                with socket2.timeout(TIMEOUT_S):
                    pass
            yield from socket2.sleep(0)
    with meter.measuring("raw", count):
        for _ in range(count // BATCH):
            raw_timers(BATCH)
            yield from socket2.sleep(0)
    with meter.measuring("crowd", count):
        crowd_of_timers(count)
        yield from socket2.sleep(0)


def raw_timers(count: int) -> None:
    """Arm and cancel timers, as a stack on top of socket2's scheduler would. They are not a public interface."""
    heap = current_scheduler().timers
    for _ in range(count):
        timer = Timer(heap, _return)
        timer.arm(monotonic() + TIMEOUT_S)
        timer.disarm()


def crowd_of_timers(count: int) -> None:
    """Do the same, but arm all timers before the first is cancelled."""
    heap = current_scheduler().timers
    crowd = [Timer(heap, _return) for _ in range(count)]
    for number, timer in enumerate(crowd):
        timer.arm(monotonic() + TIMEOUT_S + number % BATCH)
    for timer in crowd:
        timer.disarm()


def _look_up(name: str, times: int) -> Steps:
    for _ in range(times):
        yield from socket2.addr(name, LOOKUP_PORT)


def lookup(meter: Meter, count: int, name: str) -> Steps:
    yield from _look_up(name, 1)
    with meter.measuring("lookup", count):
        for thread in [socket2.newthread(_look_up, name, count // LOOKUP_TASKS) for _ in range(LOOKUP_TASKS)]:
            yield from thread.join()
