"""Curio: tasks, curio.Event, timeout_after, curio.socket. Its only timers are timeouts."""

from __future__ import annotations

import socket

import curio

from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter

run = curio.run


async def _return() -> None:
    pass


async def _wait_once() -> None:
    await curio.sleep(0)


async def spawn(meter: Meter, count: int) -> None:
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                for task in [await curio.spawn(body) for _ in range(BATCH)]:
                    await task.join()


async def _answer(ping: curio.Event, pong: curio.Event) -> None:
    while True:
        await ping.wait()
        ping.clear()
        await pong.set()


async def switch(meter: Meter, count: int) -> None:
    ping, pong = curio.Event(), curio.Event()
    partner = await curio.spawn(_answer, ping, pong)
    await curio.sleep(0)
    with meter.measuring("switch", count):
        for _ in range(count // 2):
            await ping.set()
            await pong.wait()
            pong.clear()
    await partner.cancel()


async def timers(meter: Meter, count: int) -> None:
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                async with curio.timeout_after(TIMEOUT_S):
                    pass
            await curio.sleep(0)


async def _look_up(name: str, times: int) -> None:
    for _ in range(times):
        await curio.socket.getaddrinfo(name, LOOKUP_PORT, type=socket.SOCK_STREAM)


async def lookup(meter: Meter, count: int, name: str) -> None:
    await _look_up(name, 1)
    with meter.measuring("lookup", count):
        tasks = [await curio.spawn(_look_up, name, count // LOOKUP_TASKS) for _ in range(LOOKUP_TASKS)]
        for task in tasks:
            await task.join()
