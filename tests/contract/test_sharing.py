"""One poller in several OS threads: one polls, and others run operations, close and cancel."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from pollers import Closed

from .driver import PATIENCE_S, Driver, does
from .kinds import make, names


@pytest.fixture(
    params=[(kind, manner) for kind, what in names() if what == "shared" for manner in ("bare", "checked")],
    ids="-".join,
)
def shared(request: pytest.FixtureRequest) -> Iterator[Driver]:
    kind, manner = request.param
    driver = Driver(make(kind, checked=manner == "checked"), kind)
    driver.poller.share()
    yield driver
    driver.close()


class OSThread(threading.Thread):
    """An OS thread that calls one function, and gives the outcome to the caller that joins it."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._act()
        except BaseException as error:
            self._error = error

    def outcome(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


class Polling:
    """An OS thread that polls, and keeps what poll() returns."""

    def __init__(self, driver: Driver) -> None:
        self._poller = driver.poller
        self._over = False
        self._changed = threading.Condition()
        self.returned: list[Any] = []
        self._os_thread = OSThread(self._poll)

    def _poll(self) -> None:
        while not self._over:
            finished = self._poller.poll(PATIENCE_S)
            with self._changed:
                self.returned += finished
                self._changed.notify_all()

    def wait_for(self, waiter: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: waiter in self.returned, PATIENCE_S), "poll() does not return it"

    def end(self) -> None:
        self._over = True
        self._poller.wakeup()
        self._os_thread.outcome()


@contextmanager
def polling(driver: Driver) -> Iterator[Polling]:
    other = Polling(driver)
    try:
        yield other
    finally:
        other.end()


def end_of(steps: Iterator[Any]) -> Any:
    """Return the result of an operation whose next step is its last."""
    with pytest.raises(StopIteration) as stop:
        next(steps)
    return stop.value.value


pauses_inside_a_call = pytest.mark.skipif(os.name == "nt", reason="on Windows a connect has no second attempt")


class Slow(socket.socket):
    """A socket whose connect() stops during its second attempt, after an event, until it may continue."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls = 0
        self.pausing_at = 2
        self.entered = threading.Event()
        self.may_go = threading.Event()
        self.open_after: list[bool] = []
        self.returns: int | None = None

    def connect_ex(self, address: Any, /) -> int:
        self.calls += 1
        if self.calls == self.pausing_at:
            fd = self.fileno()
            self.entered.set()
            assert self.may_go.wait(PATIENCE_S)
            self.open_after.append(fd >= 0 and is_open(fd))
        if self.calls >= self.pausing_at and self.returns is not None:
            return self.returns
        return super().connect_ex(address)

    def wait_until_entered(self) -> None:
        assert self.entered.wait(PATIENCE_S)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def let_others_run() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def a_fair_chance() -> None:
    """Give the other OS threads time to get as far as they can. The tests hold in either case."""
    for _ in range(200):
        let_others_run()


# Events and waiters.


def test_one_os_thread_polls_what_others_wait_for(shared: Driver) -> None:
    halves = [shared.half() for _ in range(8)]

    def receive(number: int) -> None:
        handle, peer = halves[number]
        for count in range(100):
            waiter = (number, count)
            steps = iter(handle.recv(100))
            direction = next(steps)
            before = count % 2 == 1
            if before:
                peer.sendall(b"%d" % count)
            if not direction.park(waiter):
                if not before:
                    peer.sendall(b"%d" % count)
                poll.wait_for(waiter)
            else:
                assert before, "finished with nothing sent"
            assert end_of(steps) == b"%d" % count

    with polling(shared) as poll:
        for os_thread in [OSThread(partial(receive, number)) for number in range(8)]:
            os_thread.outcome()
    assert len(poll.returned) == len(set(poll.returned)), "returned twice"
    for _, peer in halves:
        peer.close()


def test_an_event_between_attempt_and_park(shared: Driver) -> None:
    """poll() gets the event in another OS thread before anybody is parked, and there will be no second one."""
    handle, peer = shared.half()
    with peer:
        peer.sendall(b"first")
        waiting = shared.spawn(does(handle.recv(100)))
        shared.finish(waiting)
        waiting = shared.spawn(does(handle.recv(100)))  # it is registered now
        peer.sendall(b"second")
        shared.finish(waiting)
        steps = iter(handle.recv(100))
        direction = next(steps)
        peer.sendall(b"third")
        assert OSThread(lambda: shared.poller.poll(0.01)).outcome() == []
        if not direction.park("waiter"):
            assert OSThread(lambda: shared.poller.poll(PATIENCE_S)).outcome() == ["waiter"]
        assert end_of(steps) == b"third"


def test_wakeups_from_many_os_threads(shared: Driver) -> None:
    """Each wake-up ends a wait that has begun; none is lost."""
    rounds = 200
    with polling(shared) as poll:

        def wake() -> None:
            for _ in range(rounds):
                handle, peer = shared.half()
                with peer:
                    steps = iter(handle.recv(1))
                    waiter = object()
                    assert not next(steps).park(waiter)
                    handle.close()  # this wakes the OS thread that polls
                    poll.wait_for(waiter)
                    with pytest.raises(Closed):
                        next(steps)

        for os_thread in [OSThread(wake) for _ in range(3)]:
            os_thread.outcome()
    assert len(poll.returned) == len(set(poll.returned)) == 3 * rounds
