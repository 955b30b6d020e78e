"""A signal handler that raises anywhere in what threads do with each other: whoever is left goes on, and can be ended.

As test_raising_in_the_loop.py, with threads that start, cancel and resume others, share a socket, or end together.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pollers import Poller
from socket2 import (
    Cancelled,
    Closed,
    Event,
    Lock,
    Queue,
    Thread,
    first,
    gather,
    newthread,
    resume,
    sleep,
    start,
    suspend,
    threadset,
    unix,
)
from socket2.threads import joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, local

from ..contract import kinds
from ..injection import BOTH, PlacedInjection, at_each_place
from ..interop.peers import LIMIT_S
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

MECHANISM = {
    *modules_in("socket2/threads") - modules_in("socket2/threads", "osthreads ctrl_c joining native jobs resolver"),
    *modules_in("pollers/readiness"),
}


class Company:
    def __init__(self) -> None:
        self.threads: list[Thread[object]] = []
        self.gate = Event()
        self.lock = Lock()
        self.queue: Queue[int] = Queue(0)
        ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagrams = unix("dgram", fileno=ours.detach())
        ours, self.other = socket.socketpair()
        self.stream = unix(fileno=ours.detach())
        self.stream.settimeout(0.0003)
        ours, self.third = socket.socketpair()
        self.closed = unix(fileno=ours.detach())
        self.sleeper = self.start(self.suspended)
        self.doomed = self.start(self.for_ever)
        for make in (self.locked, self.locked, self.put, self.get, self.put, self.get, self.owner, self.parent):
            self.start(make)
        for make in (self.receive, self.receive, self.impatient, self.unlucky):
            self.start(make)
        for owner in (self.waiting_owner, self.gathering_owner, self.racing_owner):
            self.start(owner)
        self.start(self.act)

    def start(self, *what: Any) -> Thread[object]:
        self.threads.append(newthread(*what))
        return self.threads[-1]

    def suspended(self) -> Steps:
        return (yield from suspend())

    def for_ever(self) -> Steps:
        yield from sleep(1000)

    def locked(self) -> Steps:
        with (yield from self.lock.acquire()):
            yield from sleep(0)

    def put(self) -> Steps:
        yield from self.queue.put(1)

    def get(self) -> Steps:
        yield from self.queue.get()

    def fails(self) -> Steps:
        yield from sleep(0)
        raise LookupError

    def owner(self) -> Steps:
        with suppress(LookupError), threadset() as ts:
            for steps in (self.for_ever, self.fails, self.for_ever):
                self.threads.append(ts.newthread(steps))
            yield from ts.join()

    async def waiting_owner(self) -> None:
        with suppress(LookupError):
            async with threadset() as ts:
                for steps in (self.for_ever, self.fails, self.for_ever):
                    self.threads.append(ts.newthread(steps))

    def gathering_owner(self) -> Steps:
        with suppress(LookupError):
            yield from gather(self.for_ever, self.fails)

    def racing_owner(self) -> Steps:
        yield from first(self.fails, self.child, self.for_ever)

    def parent(self) -> Steps:
        child = self.start(self.child)
        yield from child.join()

    def child(self) -> Steps:
        yield from sleep(0)

    def receive(self) -> Steps:
        yield from self.datagrams.recv(9)

    def impatient(self) -> Steps:
        with suppress(TimeoutError):
            yield from self.stream.recv(1)

    def unlucky(self) -> Steps:
        with suppress(Closed):
            yield from self.closed.recv(1)

    def act(self) -> Steps:
        yield from sleep(0)
        with suppress(RuntimeError):
            resume(self.sleeper)
        self.doomed.cancel()
        self.closed.close()
        self.peer.send(b"one")
        yield from sleep(0)
        self.peer.send(b"two")

    def act_from_outside(self) -> None:
        """What act() has not done, if it was what was interrupted."""
        if not self.sleeper.done:
            with suppress(RuntimeError):
                resume(self.sleeper)
        self.doomed.cancel()
        self.closed.close()
        self.queue.close()
        with suppress(BlockingIOError):
            for _ in range(2):
                self.peer.send(b"more", socket.MSG_DONTWAIT)

    def close(self) -> None:
        for sock in (self.datagrams, self.stream, self.closed, self.peer, self.other, self.third):
            sock.close()


def attempt(make: Callable[[], Poller], shared: bool, injection: PlacedInjection) -> None:
    local.scheduler = scheduler = Scheduler(make())
    local.member = None
    if shared:
        joining.share(scheduler)
    company = Company()
    with suppress(injection.error), injection:
        start(0.02)
    where = injection.where
    assert not is_held(), where
    company.act_from_outside()
    for _ in range(3):
        with suppress(injection.error):
            start(0.02 if where else LIMIT_S)
    left = [thread for thread in company.threads if not thread.done]
    # The lock of a thread that was interrupted as it took it, or gave it back; the set of one that was in its block.
    assert all(thread.name.endswith(("locked", "for_ever", "owner")) for thread in left), (where, left)
    assert where or not left
    for thread in left:
        thread.cancel()
    for _ in range(3):
        with suppress(injection.error):
            assert start(LIMIT_S), (where, [thread for thread in company.threads if not thread.done])
    assert all(thread.done for thread in company.threads), where
    errors = [thread.error for thread in company.threads if thread.error is not None]
    expected = (injection.error, Cancelled, Closed, LookupError, BaseExceptionGroup)
    assert all(isinstance(error, expected) for error in errors), (where, errors)
    assert sum(isinstance(error, injection.error) for error in errors) <= 3, (where, errors)
    assert (scheduler.hopeless, scheduler.threads, list(scheduler.ready)) == (0, {}, []), where
    assert (scheduler.timers.armed, scheduler.interruptions.known) == (0, {}), where
    company.close()
    current_member().close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize(
    "kind", [name for name, manner in kinds.names() if manner == "shared" and name in "native epoll"]
)
def test_whoever_is_left_can_be_ended(kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: None)
    assert at_each_place(partial(attempt, partial(kinds.make, kind), shared), MECHANISM, *BOTH) > 100
