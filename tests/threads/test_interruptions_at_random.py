"""Random programs of blocks, cleanups and retries, with random deadlines and cancels, must follow a simple rule.

The rule: a cancelled thread ends cancelled if it waits once more; a block whose deadline passed before one of its
waits does not end normally; nothing else is ever raised, and nothing is pending in the end.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from socket2 import (
    TCP,
    Cancelled,
    Queue,
    Thread,
    currentthread,
    newthread,
    resume,
    run,
    scope,
    sleep,
    suspend,
    threadset,
    timeout,
    unix,
)
from socket2.threads import joining
from socket2.threads.lock import lock
from socket2.threads.scheduler import current_scheduler

Steps = Generator[Any, Any, Any]

ROUNDS = 60
DEPTH_MAX = 4


class Program:
    """One interrupted thread, and what it waits for."""

    def __init__(self, chance: random.Random, conn: TCP, peer: socket.socket) -> None:
        self.chance = chance
        self.conn = conn
        self.peer = peer
        self.queue: Queue[int] = Queue()
        self.blocks: list[timeout | scope] = []
        self.cancelled = self.ends = False
        self.wrong: list[str] = []

    # What the thread does.

    def main(self) -> Steps:
        for _ in range(3):
            with suppress(TimeoutError):
                yield from self.part(0)
        self.ends = True
        for _ in range(2):
            yield from sleep(0)

    def part(self, depth: int) -> Steps:
        kinds: list[Callable[[int], Steps]] = [self.wait]
        if depth < DEPTH_MAX:
            kinds += [self.several, self.block, self.cleanup, self.retried, self.group, self.limited]
            kinds += [self.left_early, self.shielded]
        yield from self.chance.choice(kinds)(depth + 1)

    def wait(self, depth: int) -> Steps:
        kind = self.chance.randrange(4)
        if kind == 0:
            yield from sleep(0)
        elif kind == 1:
            yield from suspend()
        elif kind == 2:
            yield from self.queue.get()
        else:
            yield from self.conn.recv(1)

    def several(self, depth: int) -> Steps:
        for _ in range(self.chance.randrange(1, 4)):
            yield from self.part(depth)

    def block(self, depth: int) -> Steps:
        block = timeout(3600)
        ended = False
        try:
            with block:
                self.blocks.append(block)
                with suppress(TimeoutError):
                    yield from self.part(depth)
                over = block.expired
                yield from sleep(0)
                yield from sleep(0)  # an inner interruption may have replaced the first one
                ended = over
        finally:
            self.blocks.remove(block)
        if ended:
            self.wrong.append("a block whose time was over has come to its end")

    def left_early(self, depth: int) -> Steps:
        block = scope(timeout_s=3600)
        ended = False
        try:
            with block:
                self.blocks.append(block)
                with suppress(TimeoutError):
                    yield from self.part(depth)
                over = block.expired or block.cancelled
                yield from sleep(0)
                yield from sleep(0)
                ended = over
        finally:
            self.blocks.remove(block)
        if ended and not block.cut_short:
            self.wrong.append("a scope that was over has come to its end")

    def shielded(self, depth: int) -> Steps:
        outside = [currentthread(), *self.blocks]
        with scope(shield=True):
            try:
                with suppress(TimeoutError):
                    yield from self.part(depth)
            except Cancelled as error:
                if any(error.meant_for is one for one in outside):
                    self.wrong.append("a shield has let something through")
                raise

    def cleanup(self, depth: int) -> Steps:
        try:
            yield from self.part(depth)
        finally:
            yield from self.part(depth)

    def retried(self, depth: int) -> Steps:
        for _ in range(2):
            with suppress(TimeoutError):
                yield from self.part(depth)

    def group(self, depth: int) -> Steps:
        with threadset() as ts:
            ts.newthread(sleep, 0)
            yield from self.part(depth)
            yield from ts.join()

    def limited(self, depth: int) -> Steps:
        empty: Queue[int] = Queue()
        with suppress(TimeoutError):
            yield from empty.get(timeout_s=0)

    # What happens to it.

    def happen(self, thread: Thread[object]) -> None:
        with suppress(RuntimeError):
            resume(thread)
        if self.chance.random() < 0.7:
            self.queue.put_nowait(1)
            self.peer.send(b"x")
        for _ in range(self.chance.choice((0, 0, 0, 1, 2, 3))):
            if self.blocks and self.chance.random() < 0.8:
                block = self.chance.choice(self.blocks)
                if isinstance(block, scope) and self.chance.random() < 0.5:
                    block.cancel()
                    continue
                with lock:
                    if not block.expired:
                        block.disarm()
                        block.ring()
            elif self.chance.random() < 0.3 and not self.ends:
                self.cancelled = thread.cancel() or self.cancelled


def drive(program: Program) -> Steps:
    thread = newthread(program.main)
    turns = 0
    while not thread.done:
        program.happen(thread)
        yield from sleep(0)
        turns += 1
        assert turns < 10000, f"it does not end: {thread!r}"
    if program.cancelled:
        with pytest.raises(Cancelled):
            yield from thread.join()
    else:
        yield from thread.join()
    assert program.wrong == []
    assert current_scheduler().interruptions.known == {}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(seed: int, shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    for number in range(ROUNDS):
        chance = random.Random(seed * ROUNDS + number)
        ours, peer = socket.socketpair()
        with peer, unix(fileno=ours.detach()) as conn:
            assert isinstance(conn, TCP)
            peer.setblocking(False)
            try:
                run(drive, Program(chance, conn, peer))
            except BaseException as error:
                error.add_note(f"random.Random({seed * ROUNDS + number})")
                raise
