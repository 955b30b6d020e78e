"""Random servers and clients with 1 to 8 OS threads: each connection closes once, and nothing is left or reported."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Server, Socket
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S
from .scene import ignore, port_of

CLIENTS = 20
SEEDS = 16


class Play:
    """One server and its clients, made from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.opened = 0
        self.closed: list[bool] = []
        self.over = False
        mark = self.random.choice([0, 1, 1000, 16384])
        self.server = Server(allowHalfOpen=self.random.random() < 0.5, highWaterMark=mark)
        self.server.maxConnections = self.random.choice([None, None, 5])
        self.server.on("connection", self.serve)
        self.server.on("listening", lambda: socket2.newthread(self.visits) and None)
        self.server.listen(0, "127.0.0.1")

    def serve(self, conn: Socket) -> None:
        self.opened += 1
        conn.on("error", ignore)
        conn.on("close", self.count)
        ways = [self.pipes, self.sends, self.writes, self.destroys, self.times_out, self.pauses]
        self.random.choice(ways)(conn)

    def count(self, had_error: bool) -> None:
        self.closed.append(had_error)

    def pipes(self, conn: Socket) -> None:
        conn.pipe(conn)

    def sends(self, conn: Socket) -> None:
        async def echo() -> None:
            try:
                async for data in conn:
                    await conn.send(data)
                conn.end()
            except (OSError, socket2.Closed):
                conn.destroy()

        socket2.newthread(echo)

    def writes(self, conn: Socket) -> None:
        conn.on("data", lambda data: conn.write(data) and None)
        conn.on("end", lambda: conn.end() and None)

    def destroys(self, conn: Socket) -> None:
        conn.destroy()

    def times_out(self, conn: Socket) -> None:
        conn.setTimeout(1, lambda: conn.resetAndDestroy() and None)
        conn.resume()

    def pauses(self, conn: Socket) -> None:
        conn.pause()
        socket2.runafter(self.random.random() / 100, conn.resume)
        conn.end(bytes(100_000))
        conn.on("data", ignore)

    async def visit(self) -> None:
        client = net.connect(port_of(self.server), "127.0.0.1")
        client.on("error", ignore)
        client.on("data", ignore)
        acts: list[Callable[[], Any]] = [
            lambda: client.write(bytes(self.random.randrange(200_000))),
            client.pause,
            client.resume,
            client.cork,
            client.uncork,
            lambda: client.setTimeout(self.random.choice([0, 1, 5])),
        ]
        for _ in range(self.random.randrange(8)):
            self.random.choice(acts)()
            await socket2.sleep(self.random.choice([0, 0.001]))
        client.resume()
        ends: list[Callable[[], Any]] = [client.destroy, client.end, client.destroySoon]
        self.random.choice(ends)()
        socket2.runafter(0.02, client.destroy)

    async def visits(self) -> None:
        with socket2.timeout(LIMIT_S):
            for visitor in [socket2.newthread(self.visit) for _ in range(CLIENTS)]:
                await visitor.join()
            await socket2.sleep(self.random.choice([0, 0.01]))
        self.server.close()
        self.server.closeAllConnections()
        self.over = True


@pytest.mark.parametrize("members", [1, 2, 4, 8])
def test_random_connections(members: int) -> None:
    for seed in range(SEEDS):
        play = Play(seed * 10 + members)
        assert socket2.start() if members == 1 else socket2.serve_threads(members)
        assert play.over, seed
        assert play.opened == len(play.closed), seed
        scheduler = current_scheduler()
        assert (list(scheduler.threads), scheduler.hopeless, scheduler.timers.aside) == ([], 0, 0), seed
