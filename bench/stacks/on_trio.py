"""Trio: nurseries, its lowest-level way to suspend and reschedule a task, cancel scopes, trio.socket.

Its only timers are the deadlines of cancel scopes.
"""

from __future__ import annotations

import socket

import trio
import trio.testing
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter

run = trio.run


async def _return() -> None:
    pass


async def _wait_once() -> None:
    await trio.lowlevel.checkpoint()


async def spawn(meter: Meter, count: int) -> None:
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                async with trio.open_nursery() as nursery:
                    for _ in range(BATCH):
                        nursery.start_soon(body)


def _abort(raise_cancel: object) -> Abort:
    return Abort.SUCCEEDED


async def _answer(asker: Task, partner: list[Task]) -> None:
    partner.append(current_task())
    while True:
        await wait_task_rescheduled(_abort)
        reschedule(asker)


async def switch(meter: Meter, count: int) -> None:
    partner: list[Task] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer, current_task(), partner)
        await trio.testing.wait_all_tasks_blocked()
        with meter.measuring("switch", count):
            for _ in range(count // 2):
                reschedule(partner[0])
                await wait_task_rescheduled(_abort)
        nursery.cancel_scope.cancel()


async def timers(meter: Meter, count: int) -> None:
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                with trio.fail_after(TIMEOUT_S):
                    pass
            await trio.lowlevel.checkpoint()


async def _look_up(name: str, times: int) -> None:
    for _ in range(times):
        await trio.socket.getaddrinfo(name, LOOKUP_PORT, type=socket.SOCK_STREAM)


async def lookup(meter: Meter, count: int, name: str) -> None:
    await _look_up(name, 1)
    with meter.measuring("lookup", count):
        async with trio.open_nursery() as nursery:
            for _ in range(LOOKUP_TASKS):
                nursery.start_soon(_look_up, name, count // LOOKUP_TASKS)
