"""A signal handler raises anywhere in the loop: no thread loses its turn, its timer, or its result for a join.

A trace function raises at each point of that code in turn where the interpreter checks for signals.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import socket2
from pollers import Poller
from socket2 import Event, Semaphore, Thread, newthread, scope, sleep, start, timeout, unix
from socket2.threads import ctrl_c, joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..contract import kinds
from ..injection import BOTH, PlacedInjection, Raised, at_each_place
from ..interop.peers import LIMIT_S
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

MECHANISM = {
    *modules_in(
        "socket2/threads",
        "wait stepping outcome scheduler mending inbox member crew timers deadline cancellation coroutines sleeping"
        " scope line events semaphores mutexes exchange queues turns thread",
    ),
    *modules_in("pollers/readiness"),
    *modules_in("pollers/checked"),
}


class Scene:
    """Threads that wait for everything that exists, and end soon."""

    def __init__(self) -> None:
        self.event = Event()
        self.permits = Semaphore(1)
        ours, self.peer = socket.socketpair()
        self.conn = unix(fileno=ours.detach())
        self.threads: list[Thread[object]] = []
        self.joined: list[Any] = []
        target = self.start(self.spin)
        for make in (self.sleep, self.spin, self.limited, self.shielded, self.wait, self.wait, self.receive):
            self.start(make)
        self.takers = [self.start(self.take) for _ in range(2)]
        for _ in range(3):
            self.start(self.join, target)
        self.start(self.set)

    def start(self, *what: Any) -> Thread[object]:
        self.threads.append(newthread(*what))
        return self.threads[-1]

    def sleep(self) -> Steps:
        yield from sleep(0.0003)

    def spin(self) -> Steps:
        for _ in range(2):
            yield from sleep(0)
        return "result"

    def limited(self) -> Steps:
        with pytest.raises(TimeoutError), timeout(0.0003):
            yield from sleep(100)

    def shielded(self) -> Steps:
        with scope() as outer, scope(timeout_s=0.0003, shield=True):
            outer.cancel()
            yield from sleep(100)
        yield from sleep(0)

    def wait(self) -> Steps:
        yield from self.event.wait()

    def take(self) -> Steps:
        with (yield from self.permits.acquire()):
            yield from sleep(0)

    def receive(self) -> Steps:
        assert (yield from self.conn.recv(1)) == b"x"

    def join(self, target: Thread[object]) -> Steps:
        self.joined.append((yield from target.join()))

    def set(self) -> Steps:
        yield from sleep(0)
        self.event.set()
        self.peer.send(b"x")


def attempt(make: Callable[[], Poller], shared: bool, injection: PlacedInjection) -> None:
    local.scheduler = scheduler = Scheduler(make())
    local.member = None
    if shared:
        joining.share(scheduler)
    scene = Scene()
    with suppress(injection.error), injection:
        start(0.02)  # they wait forever if the thread that wakes them was interrupted
    where = injection.where
    assert not is_held(), where
    scene.event.set()  # its setter may have been interrupted
    with suppress(BlockingIOError):
        scene.peer.send(b"x")
    if any(isinstance(taker.error, injection.error) for taker in scene.takers):
        scene.permits.release()  # it may have been interrupted during its release
    for _ in range(3):  # each pending error, of a thread or of the loop, is raised once
        with suppress(injection.error):
            assert start(LIMIT_S), f"{where}: lost {[thread for thread in scene.threads if not thread.done]}"
    lost = [thread for thread in scene.threads if not thread.done]
    assert not lost, where
    failed = [thread for thread in scene.threads if thread.error is not None]
    assert all(isinstance(thread.error, (injection.error, AssertionError)) for thread in failed), (where, failed)
    assert len(failed) <= 4, (where, failed)  # one thread, and those that join it
    assert len(scene.joined) == 3 or failed, where
    assert (scheduler.hopeless, scheduler.threads, list(scheduler.ready)) == (0, {}, []), where
    assert (scheduler.timers.armed, scheduler.interruptions.known) == (0, {}), where
    assert scheduler.interruptions.scopes == {}, where
    scene.conn.close()
    scene.peer.close()
    current_member().close()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: None)


@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("kind", [name for name, manner in kinds.names() if manner == "shared"])
def test_nobody_is_lost(kind: str, shared: bool) -> None:
    assert at_each_place(partial(attempt, partial(kinds.make, kind), shared), MECHANISM, *BOTH) > 100


def test_a_posted_call_is_made_once() -> None:
    def attempt(injection: PlacedInjection) -> None:
        made: list[int] = []
        for number in range(2):
            current_scheduler().post(lambda number=number: made.append(number))  # type: ignore[misc]
        with suppress(Raised), injection:
            start()
        start()
        assert made == [0, 1], injection.where
        assert not current_scheduler().anything_to_wait_for(), injection.where

    at_each_place(attempt, modules_in("socket2/threads", "scheduler inbox member"))


def test_a_call_that_is_left_to_the_main_os_thread_is_made_once() -> None:
    def attempt(injection: PlacedInjection) -> None:
        made: list[int] = []
        for number in range(2):
            ctrl_c._calls.append(lambda number=number: made.append(number))  # type: ignore[misc]
        with suppress(Raised), injection:
            ctrl_c.make_calls()
        ctrl_c.make_calls()
        assert made == [0, 1], injection.where

    at_each_place(attempt, modules_in("socket2/threads", "ctrl_c inbox"))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX signals")
def test_the_wakeup_descriptor_of_the_program_is_there_again() -> None:
    ours, other = socket.socketpair()
    for sock in (ours, other):
        sock.setblocking(False)

    def attempt(injection: PlacedInjection) -> None:
        signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        try:
            with suppress(Raised), injection:
                start()
        finally:
            assert signal.set_wakeup_fd(-1) == ours.fileno(), injection.where

    with ours, other:
        at_each_place(attempt, modules_in("socket2/threads", "ctrl_c member"))


@pytest.mark.parametrize("kind", [name for name, manner in kinds.names() if manner == "shared"])
def test_a_scheduler_that_was_not_quite_shared_can_be(kind: str) -> None:
    def attempt(injection: PlacedInjection) -> None:
        local.scheduler = scheduler = Scheduler(kinds.make(kind))
        local.member = None
        ours, peer = socket.socketpair()
        with peer, unix(fileno=ours.detach()) as conn:
            thread = newthread(conn.recv, 1)
            with suppress(Raised), injection:
                joining.share(scheduler)
            joining.share(scheduler)
            peer.send(b"x")
            start(LIMIT_S)
            assert thread.result() == b"x", injection.where
        current_member().close()

    at_each_place(attempt, modules_in("socket2/threads", "joining crew") | modules_in("pollers/readiness", "sharing"))


def test_an_event_that_a_handler_sets_wakes_the_loop_of_another_os_thread() -> None:
    """The handler runs in the middle of a step of its own loop, and must not affect the other one."""
    event = Event()
    waits = threading.Event()
    woken: list[str] = []

    def other() -> None:
        def main() -> Steps:
            newthread(lambda: current_scheduler().post(waits.set))
            yield from event.wait(LIMIT_S)
            woken.append("in time")

        try:
            socket2.run(main)
        finally:
            current_member().close()

    os_thread = threading.Thread(target=other)
    os_thread.start()
    assert waits.wait(LIMIT_S)

    def step() -> Steps:
        event.set()
        os_thread.join(LIMIT_S / 2)
        woken.append("end of the step")
        yield from sleep(0)

    socket2.run(step)
    os_thread.join()
    assert woken == ["in time", "end of the step"]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")
def test_what_a_real_handler_raises_costs_no_other_thread_its_turn() -> None:
    done: list[int] = []

    def raises(number: int, frame: Any) -> None:
        raise Raised

    def worker(number: int) -> Steps:
        for _ in range(3):
            yield from sleep(0)
        done.append(number)

    def sender() -> Steps:
        yield from sleep(0)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raises)
    try:
        for number in range(5):
            newthread(worker, number)
        newthread(sender)
        for _ in range(2):
            with suppress(Raised):
                start(LIMIT_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sorted(done) == [*range(5)]
