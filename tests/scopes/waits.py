"""Each way to wait, and each way in which a scope ends a wait or lets it go on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from socket2 import Cancelled, Event, Lock, Queue, Semaphore, scope, sleep, suspend, tcp, udp

from .world import World

Waiting = Callable[[], Awaitable[Any]]
Wait = Callable[[World], AbstractAsyncContextManager[Waiting]]


@contextlib.asynccontextmanager
async def receiving(w: World) -> AsyncIterator[Waiting]:
    yield w.rest


@contextlib.asynccontextmanager
async def accepting(w: World) -> AsyncIterator[Waiting]:
    with tcp() as listener:
        listener.bind("127.0.0.1", 0)
        listener.listen(False)
        yield listener.accept


@contextlib.asynccontextmanager
async def receiving_datagrams(w: World) -> AsyncIterator[Waiting]:
    with udp() as sock:
        sock.bind("127.0.0.1", 0)
        yield lambda: sock.recvfrom(100)


@contextlib.asynccontextmanager
async def sleeping(w: World) -> AsyncIterator[Waiting]:
    yield lambda: sleep(1e9)


@contextlib.asynccontextmanager
async def suspended(w: World) -> AsyncIterator[Waiting]:
    yield suspend


@contextlib.asynccontextmanager
async def joining(w: World) -> AsyncIterator[Waiting]:
    thread = w.start(suspend)
    yield thread.join
    thread.cancel()
    await w.end(thread)


@contextlib.asynccontextmanager
async def waiting_for_an_event(w: World) -> AsyncIterator[Waiting]:
    yield Event().wait


@contextlib.asynccontextmanager
async def waiting_for_a_lock(w: World) -> AsyncIterator[Waiting]:
    lock = Lock()

    async def holds() -> None:
        with await lock.acquire():
            await suspend()

    thread = w.start(holds)
    yield lock.acquire
    thread.cancel()
    await w.end(thread)


@contextlib.asynccontextmanager
async def waiting_for_a_semaphore(w: World) -> AsyncIterator[Waiting]:
    yield Semaphore(0).acquire


@contextlib.asynccontextmanager
async def getting(w: World) -> AsyncIterator[Waiting]:
    queue: Queue[int] = Queue()
    yield queue.get


WAITS: list[Wait] = [
    receiving,
    accepting,
    receiving_datagrams,
    sleeping,
    suspended,
    joining,
    waiting_for_an_event,
    waiting_for_a_lock,
    waiting_for_a_semaphore,
    getting,
]

# How it ends.


async def cancelled_while_it_waits(w: World, wait: Wait) -> None:
    async with wait(w) as waiting:
        with scope() as s:
            w.start(_later, s.cancel)
            await waiting()
            pytest.fail("not reached")
        assert s.cut_short


async def cancelled_before_it_waits(w: World, wait: Wait) -> None:
    async with wait(w) as waiting:
        with scope() as s:
            s.cancel()
            await waiting()
            pytest.fail("not reached")
        assert s.cut_short


async def at_its_deadline(w: World, wait: Wait) -> None:
    async with wait(w) as waiting:
        before = w.passed_s
        with scope(timeout_s=5) as s:
            await waiting()
        assert s.expired
        assert s.cut_short
        assert w.passed_s == round(before + 5, 6)


async def shielded_until_its_own_deadline(w: World, wait: Wait) -> None:
    async with wait(w) as waiting:
        with scope(timeout_s=1) as outer:
            with scope(timeout_s=5, shield=True) as inner:
                w.start(_later, outer.cancel)
                await waiting()
            assert inner.cut_short
            assert outer.expired
            assert outer.cancelled
            with pytest.raises(Cancelled):
                await waiting()


async def uncovered_while_it_waits(w: World, wait: Wait) -> None:
    async with wait(w) as waiting:
        with scope() as outer, scope(shield=True) as inner:
            outer.cancel()
            w.start(_later, setattr, inner, "shield", False)
            await waiting()
        assert outer.cut_short
        assert not inner.cut_short


async def _later(call: Callable[..., Any], *args: Any) -> None:
    """Make a call when all others wait."""
    await sleep(1e-6)
    call(*args)
