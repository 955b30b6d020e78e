"""asyncio: tasks, asyncio.Event, call_later and asyncio.timeout, loop.getaddrinfo."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter


def run(task: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    asyncio.run(task(*args))


async def _return() -> None:
    pass


async def _wait_once() -> None:
    await asyncio.sleep(0)


async def spawn(meter: Meter, count: int) -> None:
    loop = asyncio.get_running_loop()
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                for task in [loop.create_task(body()) for _ in range(BATCH)]:
                    await task


async def _answer(ping: asyncio.Event, pong: asyncio.Event) -> None:
    while True:
        await ping.wait()
        ping.clear()
        pong.set()


async def switch(meter: Meter, count: int) -> None:
    ping, pong = asyncio.Event(), asyncio.Event()
    partner = asyncio.create_task(_answer(ping, pong))
    await asyncio.sleep(0)
    with meter.measuring("switch", count):
        for _ in range(count // 2):
            ping.set()
            await pong.wait()
            pong.clear()
    partner.cancel()


async def timers(meter: Meter, count: int) -> None:
    loop = asyncio.get_running_loop()
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                async with asyncio.timeout(TIMEOUT_S):
                    pass
            await asyncio.sleep(0)
    with meter.measuring("raw", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                loop.call_later(TIMEOUT_S, _return).cancel()
            await asyncio.sleep(0)
    with meter.measuring("crowd", count):
        crowd = [loop.call_later(TIMEOUT_S + number % BATCH, _return) for number in range(count)]
        for handle in crowd:
            handle.cancel()
        await asyncio.sleep(0)


async def _look_up(name: str, times: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(times):
        await loop.getaddrinfo(name, LOOKUP_PORT, type=socket.SOCK_STREAM)


async def lookup(meter: Meter, count: int, name: str) -> None:
    await _look_up(name, 1)
    with meter.measuring("lookup", count):
        await asyncio.gather(*(_look_up(name, count // LOOKUP_TASKS) for _ in range(LOOKUP_TASKS)))
