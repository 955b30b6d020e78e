"""Groups, gather and first, nested and interrupted at random: no call outlives what started it, and nothing is left."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from socket2 import Cancelled, first, gather, newthread, serve_threads, sleep, start, threadset, timeout
from socket2.threads.scheduler import current_scheduler

from . import test_group

crashes = test_group.crashes

SEEDS = range(3)
A_MOMENT_S = 0.002


class Meant(Exception):
    pass


async def call(rng: random.Random, alive: list[int]) -> int:
    alive.append(1)
    try:
        for _ in range(rng.randrange(4)):
            await sleep(0 if rng.random() < 0.7 else rng.random() * A_MOMENT_S)
        if rng.random() < 0.15:
            raise Meant
        return 7
    finally:
        try:
            if rng.random() < 0.3:
                await sleep(0)
        finally:
            alive.pop()


async def owner(rng: random.Random, depth: int) -> int:
    alive: list[int] = []
    calls: list[Callable[[], Awaitable[int]]] = []
    for _ in range(rng.randrange(1, 5)):
        its = random.Random(rng.random())
        nested = depth > 0 and its.random() < 0.3
        calls.append(partial(owner, its, depth - 1) if nested else partial(call, its, alive))
    try:
        with timeout(rng.choice([None, None, rng.random() * 2 * A_MOMENT_S])):
            match rng.choice(["gather", "first", "threadset"]):
                case "gather":
                    assert await gather(*calls) == (7,) * len(calls)
                case "first":
                    assert await first(*calls) == 7
                case _:
                    async with threadset() as ts:
                        for each in calls:
                            ts.newthread(each)
                        if rng.random() < 0.2:
                            ts.cancel()
                        if rng.random() < 0.3:
                            await ts.join()
                            assert not alive
    except (Meant, ExceptionGroup, TimeoutError):
        pass
    finally:
        assert not alive
    return 7


async def act(rng: random.Random) -> None:
    for _ in range(40):
        thread = newthread(owner, random.Random(rng.random()), 2)
        if rng.random() < 0.3:
            for _ in range(rng.randrange(4)):
                await sleep(0)
            thread.cancel()
        try:
            assert await thread.join() == 7
        except Cancelled:
            pass


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("members", [1, 3])
def test_no_call_outlives_what_started_it(seed: int, members: int, crashes: list[str]) -> None:
    rng = random.Random(seed)
    actors = [newthread(act, random.Random(rng.random())) for _ in range(5)]
    assert start() if members == 1 else serve_threads(members)
    for actor in actors:
        actor.result()
    scheduler = current_scheduler()
    assert (scheduler.threads, scheduler.interruptions.known, scheduler.hopeless) == ({}, {}, 0)
    assert set(crashes) <= {"Meant()"}
