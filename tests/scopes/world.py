"""What a fact about scopes needs: a clock that is set by hand, threads, and a wait in the poller that never ends."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pollers
import socket2
from socket2 import Cancelled, Thread, newthread, sleep
from socket2.threads.scheduler import Scheduler, local

from ..contract import kinds
from ..handclock import STARTS_AT_S, HandClock

# Every poller of this machine and the simulated ones, but not their faults, which the contract is about.
POLLERS = [kind for kind, manner in kinds.names() if manner == "shared"]

Fact = Callable[["World"], Coroutine[Any, Any, None]]

_AT_A_TIME = 4  # how many threads rest at the same time


class World:
    """A scheduler whose clock jumps to the next deadline when all threads wait."""

    def __init__(self, poller: pollers.Poller) -> None:
        self.clock = HandClock(poller)
        local.scheduler = self.scheduler = Scheduler(self.clock)
        self._sockets: list[socket2.Socket] = []
        self._peers: list[socket.socket] = []

    @property
    def passed_s(self) -> float:
        return round(self.clock.time_s - STARTS_AT_S, 6)

    async def rest(self) -> None:
        """Wait in the poller forever."""
        conn: Any = self._sockets.pop()
        try:
            await conn.recv(1)
        finally:
            self._sockets.append(conn)

    async def blocked(self) -> None:
        """Wait until all other threads wait for something that does not come by itself."""
        with socket2.scope(shield=True):
            await sleep(1e-6)

    def start(self, func: Callable[..., Any], *args: Any) -> Thread[Any]:
        return newthread(func, *args)

    async def end(self, thread: Thread[Any]) -> None:
        with suppress(Cancelled):
            await thread.join()

    def run(self, fact: Fact) -> None:
        """Run a fact, and check that it leaves no interruption and no scope behind."""
        for _ in range(_AT_A_TIME):
            ours, peer = socket.socketpair()
            kind = socket2.tcp if ours.family == socket.AF_INET else socket2.unix
            self._sockets.append(kind(fileno=ours.detach()))
            self._peers.append(peer)
        try:
            socket2.run(self._main, fact)
        finally:
            for conn in self._sockets:
                conn.close()
            for peer in self._peers:
                peer.close()
        assert self.scheduler.interruptions.known == {}
        assert self.scheduler.interruptions.scopes == {}

    async def _main(self, fact: Fact) -> None:
        await fact(self)
        for _ in range(3):  # nothing of the fact is raised later
            await sleep(0)
