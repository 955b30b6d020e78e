"""socket2, threads as coroutines: newthread, suspend and resume, timeout and the timers below it, addr."""

from __future__ import annotations

import socket2
from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter
from bench.stacks.on_socket2_generator import crowd_of_timers, raw_timers

run = socket2.run


async def _return() -> None:
    pass


async def _wait_once() -> None:
    await socket2.sleep(0)


async def spawn(meter: Meter, count: int) -> None:
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                for thread in [socket2.newthread(body) for _ in range(BATCH)]:
                    await thread.join()


async def _answer(asker: socket2.Thread[object]) -> None:
    while True:
        await socket2.suspend()
        socket2.resume(asker)


async def switch(meter: Meter, count: int) -> None:
    partner = socket2.newthread(_answer, socket2.currentthread())
    with meter.measuring("switch", count):
        for _ in range(count // 2):
            socket2.resume(partner)
            await socket2.suspend()
    partner.cancel()


async def timers(meter: Meter, count: int) -> None:
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                with socket2.timeout(TIMEOUT_S):
                    pass
            await socket2.sleep(0)
    with meter.measuring("raw", count):
        for _ in range(count // BATCH):
            raw_timers(BATCH)
            await socket2.sleep(0)
    with meter.measuring("crowd", count):
        crowd_of_timers(count)
        await socket2.sleep(0)


async def _look_up(name: str, times: int) -> None:
    for _ in range(times):
        await socket2.addr(name, LOOKUP_PORT)


async def lookup(meter: Meter, count: int, name: str) -> None:
    await _look_up(name, 1)
    with meter.measuring("lookup", count):
        for thread in [socket2.newthread(_look_up, name, count // LOOKUP_TASKS) for _ in range(LOOKUP_TASKS)]:
            await thread.join()
