"""A program's actions happen in the order in which they began. No order depends on memory addresses or hashes.

So a run can be repeated. Each test makes many objects of one kind in disordered memory: a set would reveal itself.
"""

from __future__ import annotations

import gc
import random
import socket
import warnings
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import pollers
from pollers.checked.checking import Checked
from socket2 import addr, call_in_thread, net, newthread, run, sleep
from socket2.threads.scheduler import Scheduler, current_scheduler, schedulers

from ..contract.driver import Task, does
from ..interop.peers import ROOT
from ..net.scene import started

Steps = Generator[Any, Any, Any]

MANY = 40


@pytest.fixture(autouse=True)
def memory_in_disorder() -> Iterator[None]:
    """Free every other one of many objects of many sizes, so that new objects get scattered addresses."""
    rng = random.Random(15)
    held = [[None] * rng.randrange(1, 60) for _ in range(20_000)]
    rng.shuffle(held)
    del held[::2]
    yield
    del held


def test_connections_of_a_server_are_destroyed_in_the_order_they_came() -> None:
    closed: list[int] = []

    async def main() -> None:
        server = net.createServer()
        port = await started(server)
        came: list[int] = []

        def note(conn: net.Socket) -> None:
            number = len(came)
            came.append(number)
            conn.on("close", lambda *_: closed.append(number))

        server.on("connection", note)
        clients = []
        for _ in range(MANY):
            clients.append(net.connect(port, "127.0.0.1"))
            clients[-1].resume()
            clients[-1].on("error", lambda *_: None)
            await clients[-1].wait("connect")
        while len(came) < MANY:
            await sleep(0)
        server.closeAllConnections()
        while len(closed) < MANY or not all(client.destroyed for client in clients):
            await sleep(0.001)
        server.close()
        await server.wait("close")

    run(main)
    assert closed == list(range(MANY))


def test_schedulers_are_told_in_the_order_they_were_made() -> None:
    first = current_scheduler()
    made = [Scheduler(pollers.choose()) for _ in range(MANY)]
    gone = made[3::7]
    for scheduler in gone:
        scheduler.poller.shutdown()
        made.remove(scheduler)
    del gone, scheduler
    gc.collect()
    ours = [first, *made]
    assert [scheduler for scheduler in schedulers() if scheduler in ours] == ours  # an earlier test's may still live
    for scheduler in made:
        scheduler.poller.shutdown()


def test_what_the_checking_poller_reports_comes_in_the_order_it_was_done() -> None:
    poller = Checked(pollers.choose(checked=False))
    pairs = [socket.socketpair() for _ in range(MANY)]
    steps = []
    for one, _ in pairs:
        task = Task(does(poller.attach(one).recv(1)))
        direction = next(task.steps)
        assert not direction.park(task)
        steps.append(task)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fds = [one.fileno() for one, _ in pairs]
        order = [direction.fileno() for direction in poller.unjoined]
        poller.shutdown()
    assert order == fds
    assert len(told) == MANY
    for task in steps:
        task.steps.close()
    for _, other in pairs:
        other.close()


class Inline:
    """Makes blocking calls at a time of its own choice, in this OS thread."""

    def __init__(self) -> None:
        self.made: list[str] = []

    @pollers.operation
    def call(self, purpose: str, func: Any, args: tuple[Any, ...], key: Any = None, /) -> Steps:
        self.made.append(purpose)
        yield from sleep(0)
        return func(*args)


def test_blocking_calls_are_made_by_whom_the_scheduler_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any) -> Any:
        if args[5] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no literal")
        return [(socket.AF_INET, args[3], 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    inline = Inline()
    current_scheduler().caller = inline
    order: list[int] = []

    def caller(number: int) -> Steps:
        order.append((yield from call_in_thread(int, str(number))))

    def main() -> Steps:
        threads = [newthread(caller, number) for number in range(MANY)]
        for thread in threads:
            yield from thread.join()
        assert (yield from addr("a.name.invalid", 80))[0].host == "192.0.2.1"

    run(main)
    assert order == list(range(MANY))
    assert inline.made == ["call of int in an OS thread"] * MANY + ["lookup of 'a.name.invalid'"]


def test_nothing_asks_for_chance() -> None:
    """A run can be repeated: what nobody may predict has one source, and nothing that happens depends on it."""
    source = ROOT / "socket2/http/websocket/entropy.py"
    assert source.is_file()
    for package in ("pollers", "socket2"):
        for path in (ROOT / package).rglob("*.py"):
            text = "" if path == source else path.read_text()
            for word in ("import random", "urandom", "import uuid", "import secrets", "uuid4"):
                assert word not in text, path
