"""A loop over any operation can be interrupted, also if the operation may leave an interruption to the next wait.

Each loop would run until its time is over if the operation left the same interruption to the next wait again and again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Condition, Event, Queue, Thread, open_file, scope, sleep, timeout

Turn = Callable[[], Awaitable[Any]]

NEVER_S = 20.0  # a loop that cannot be interrupted ends after this time


async def nothing() -> None:
    pass


def by_gather(_: Path) -> Turn:
    return lambda: socket2.gather(sleep(0), sleep(0))


def by_gather_of_nothing(_: Path) -> Turn:
    return lambda: socket2.gather()


def by_gather_of_calls_that_do_not_wait(_: Path) -> Turn:
    return lambda: socket2.gather(nothing, nothing)


def by_first(_: Path) -> Turn:
    return lambda: socket2.first(sleep(0), Event().wait())


def by_first_of_calls_that_do_not_wait(_: Path) -> Turn:
    return lambda: socket2.first(nothing, Event().wait)


def by_first_with_a_queue(_: Path) -> Turn:
    queue: Queue[int] = Queue()

    async def turn() -> None:
        queue.put_nowait(1)
        await socket2.first(queue.get, Event().wait)

    return turn


def by_gather_in_gather(_: Path) -> Turn:
    return lambda: socket2.gather(lambda: socket2.gather(sleep(0)), lambda: socket2.first(sleep(0)))


def by_gather_that_is_refused(_: Path) -> Turn:
    async def turn() -> None:
        with pytest.raises(TypeError):
            await socket2.gather(sleep(0), lambda _: sleep(0))  # type: ignore[arg-type, misc]

    return turn


def by_threadset(_: Path) -> Turn:
    async def turn() -> None:
        async with socket2.threadset() as threads:
            threads.newthread(nothing)

    return turn


def by_join_of_a_threadset(_: Path) -> Turn:
    async def turn() -> None:
        with socket2.threadset() as threads:
            threads.newthread(sleep, 0)
            await threads.join()

    return turn


def by_condition(_: Path) -> Turn:
    condition = Condition()

    async def notify() -> None:
        async with condition:
            condition.notify()

    async def turn() -> None:
        async with condition:
            notifier = socket2.newthread(notify)
            await condition.wait()
        await notifier.join()

    return turn


def by_condition_that_is_true(_: Path) -> Turn:
    condition = Condition()

    async def turn() -> None:
        async with condition:
            await condition.wait_for(lambda: True)

    return turn


def by_opening_a_file(tmp_path: Path) -> Turn:
    (tmp_path / "file").write_bytes(b"x")

    async def turn() -> None:
        async with await open_file(tmp_path / "file", "rb"):
            pass

    return turn


def by_reading(tmp_path: Path) -> Turn:
    (tmp_path / "file").write_bytes(b"x")

    async def turn() -> None:
        with socket2.File((tmp_path / "file").open("rb")) as file:
            await file.read(1)

    return turn


def by_closing_again(tmp_path: Path) -> Turn:
    file = socket2.File((tmp_path / "file").open("w+b"))
    file.wrapped.close()
    return file.close


def by_call_in_thread(_: Path) -> Turn:
    return lambda: socket2.call_in_thread(int)


def by_process(_: Path) -> Turn:
    async def turn() -> None:
        async with socket2.process([sys.executable], stdin=subprocess.DEVNULL):
            pass

    return turn


def by_run_process(_: Path) -> Turn:
    return lambda: socket2.run_process([sys.executable, "-V"], stdout=subprocess.DEVNULL)


LOOPS = [value for name, value in list(globals().items()) if name.startswith("by_")]


async def loop(turn: Turn, begun: Callable[[], object]) -> None:
    end = time.monotonic() + NEVER_S
    while time.monotonic() < end:
        await turn()
        begun()
    pytest.fail("the loop could not be interrupted")


def at_once() -> None:
    pass


async def under_a_timeout(turn: Turn) -> None:
    with pytest.raises(TimeoutError):
        with timeout(0.02):
            await loop(turn, at_once)


async def with_a_cancelled_scope(turn: Turn) -> None:
    with scope() as block:
        await loop(turn, block.cancel)
    assert block.cancelled


async def with_a_cancelled_thread(turn: Turn) -> None:
    me: Thread[Any]

    async def works() -> None:
        await loop(turn, lambda: me.cancel())

    me = socket2.newthread(sleep_and(works))
    with pytest.raises(Cancelled):
        await me.join()


async def with_a_thread_that_another_os_thread_cancels(turn: Turn) -> None:
    begun = threading.Event()
    me = socket2.newthread(sleep_and(partial(loop, turn, begun.set)))

    def cancel() -> None:
        begun.wait(NEVER_S)
        me.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        await me.join()
    canceller.join()


def sleep_and(works: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def waits_first() -> None:
        await sleep(0)
        await works()

    return waits_first


WAYS = [
    under_a_timeout,
    with_a_cancelled_scope,
    with_a_cancelled_thread,
    with_a_thread_that_another_os_thread_cancels,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", LOOPS)
def test_a_loop_can_be_interrupted(
    make: Callable[[Path], Turn], way: Callable[[Turn], Awaitable[None]], tmp_path: Path
) -> None:
    socket2.run(lambda: way(make(tmp_path)))


@pytest.mark.parametrize("make", [by_gather, by_first, by_first_with_a_queue])
def test_one_ctrl_c_is_enough(make: Callable[[Path], Turn], tmp_path: Path) -> None:
    sent: list[int] = []

    def send_once() -> None:
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        socket2.run(loop, make(tmp_path), send_once)


@pytest.mark.parametrize("several", [socket2.gather, socket2.first])
def test_no_call_begins_if_an_interruption_is_pending(several: Callable[..., Awaitable[Any]]) -> None:
    begun: list[int] = []

    async def call() -> None:
        begun.append(1)

    async def main() -> None:
        with scope() as block:
            block.cancel()
            await several(call, call())
        assert block.cut_short

    socket2.run(main)
    assert not begun


def test_a_child_is_not_left_behind_if_its_block_is_interrupted_at_the_start() -> None:
    async def main() -> None:
        with scope() as block:
            child = socket2.process([sys.executable], stdin=subprocess.DEVNULL)
            block.cancel()
            async with child:
                pytest.fail("the block was entered")
        assert child.returncode is not None

    socket2.run(main)
