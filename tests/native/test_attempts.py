"""Events between an attempt and its next step: an edge, an end, a detach, another operation."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from pollers import Cancelled, Closed
from tests.contract.driver import Driver, does, tcp_pair

LINGER = struct.pack("ii", 1, 1)
ATTEMPTS_MAX = 100


class Scripted(socket.socket):
    """A socket whose connect_ex(), which a native connect calls, belongs to the test."""

    __slots__ = ("attempts", "script")
    attempts: int
    script: Callable[[], int]

    def connect_ex(self, address: Any) -> int:
        self.attempts += 1
        assert self.attempts < ATTEMPTS_MAX, "it is tried again and again"
        return self.script()


def blocks() -> int:
    return errno.EINPROGRESS


def succeeds() -> int:
    return 0


def interrupts() -> int:
    raise KeyboardInterrupt


def scripted(driver: Driver, sock: socket.socket) -> Any:
    made = Scripted(fileno=sock.detach())
    made.attempts = 0
    made.script = blocks
    return driver.attach(made)


def datagrams(driver: Driver) -> Any:
    """Return a handle that gets an event for room at once, and another one with each datagram."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return scripted(driver, sock)


# It has ended, and poll() has not returned its waiter yet.


@pytest.mark.parametrize("end", ["close", "throw", "step", "delete"])
def test_who_comes_later_is_not_returned_for_who_has_left(driver: Driver, end: str) -> None:
    handle, peer = driver.half("unix")
    interrupted = datagrams(driver)
    with peer:
        first: Any = iter(handle.recv(10))
        assert next(first).park("first") is False
        peer.sendall(b"hello")
        task = driver.spawn(does(interrupted.connect(())))
        interrupted.sock.script = interrupts
        with pytest.raises(KeyboardInterrupt):
            driver.poller.poll(5)
        with pytest.raises(BlockingIOError):  # it has received, and poll() was interrupted before it returned
            handle.sock.recv(1, socket.MSG_PEEK)
        interrupted.sock.script = succeeds
        if end == "close":
            first.close()
        elif end == "throw":
            with pytest.raises(Cancelled):
                first.throw(Cancelled())
        elif end == "step":
            with pytest.raises(StopIteration):
                next(first)
        del first
        second: Any = iter(handle.recv(10))
        assert next(second).park("second") is False
        assert driver.poller.poll(5) == [task]
        driver.step(task)
        assert driver.poller.poll(0) == []
        peer.sendall(b"later")
        assert driver.poller.poll(5) == ["second"]
        with pytest.raises(StopIteration) as stop:
            next(second)
        assert stop.value.value == b"later"


# An event between an attempt and the wait, as another OS thread may find it.


def test_what_has_come_before_the_wait_is_delivered_at_once(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.give_up(driver.spawn(does(handle.recv(10))))  # epoll watches it from here on
        steps: Any = iter(handle.recv(10))
        direction = next(steps)
        peer.sendall(b"hello")
        assert driver.poller.poll(5) == []
        assert direction.park("waiter") is True
        assert direction.waiter is None
        with pytest.raises(StopIteration) as stop:
            next(steps)
        assert stop.value.value == b"hello"


def test_what_somebody_else_has_taken_before_the_wait_is_waited_for(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.give_up(driver.spawn(does(handle.recv(10))))
        steps: Any = iter(handle.recv(10))
        direction = next(steps)
        peer.sendall(b"taken")
        assert driver.poller.poll(5) == []
        assert handle.sock.recv(10) == b"taken"
        assert direction.park("waiter") is False
        assert driver.poller.stats().parked == 1
        peer.sendall(b"hello")
        assert driver.poller.poll(5) == ["waiter"]
        with pytest.raises(StopIteration) as stop:
            next(steps)
        assert stop.value.value == b"hello"


def offered(driver: Driver, handle: Any) -> tuple[Any, Any]:
    """Return a connect that has blocked, and its direction, which has got an event since."""
    driver.give_up(driver.spawn(does(handle.connect(()))))  # epoll watches it from here on
    driver.turn()
    op = handle.connect(())
    direction = next(op)
    tell_again(handle)
    assert driver.poller.poll(5) == []
    return op, direction


def tell_again(handle: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", handle.sock.getsockname())


@pytest.mark.parametrize("events", [0, 1, 5])
def test_for_each_event_it_is_tried_once(driver: Driver, events: int) -> None:
    handle = datagrams(driver)
    rest = events

    def script() -> int:
        nonlocal rest
        if rest:
            rest -= 1
            tell_again(handle)
            assert driver.poller.poll(5) == []
        return errno.EINPROGRESS

    driver.give_up(driver.spawn(does(handle.recvfrom(1))))  # so that datagrams cause events
    op, direction = offered(driver, handle)
    before = handle.sock.attempts
    handle.sock.script = script
    assert direction.park("waiter") is False
    assert handle.sock.attempts - before == events + 1
    assert driver.poller.poll(0) == []
    assert handle.sock.attempts - before == events + 1
    op.close()


def test_an_interrupt_before_the_wait_does_not_lose_the_event(driver: Driver) -> None:
    handle = datagrams(driver)
    driver.give_up(driver.spawn(does(handle.recvfrom(1))))
    op, direction = offered(driver, handle)
    handle.sock.script = interrupts
    with pytest.raises(KeyboardInterrupt):
        direction.park("waiter")
    handle.sock.script = succeeds
    assert driver.poller.poll(5) == ["waiter"]
    assert next(op, "ended") == "ended"


# Detached during an attempt: the attempt keeps the descriptor until it is over.


class Detaching:
    """A socket that detaches during its attempt, and then continues with `outcome`."""

    def __init__(self, driver: Driver, outcome: Callable[[], int]) -> None:
        one, self.peer = tcp_pair()
        self.peer.settimeout(5)
        self.handle = scripted(driver, one)
        self.handle.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self.fd = self.handle.fileno()
        self.outcome = outcome
        self.detached: list[socket.socket] = []

    def detach(self) -> int:
        self.handle.sock.script = self.outcome
        self.detached.append(self.handle.detach())
        assert self.handle.fileno() == -1
        os.fstat(self.fd)  # still open
        with pytest.raises(Closed):
            self.handle.detach()
        self.handle.close()
        return self.outcome()

    def is_well(self) -> None:
        """Check that the descriptor is closed, and that the socket still works."""
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(self.fd)
        with self.peer, self.detached.pop() as sock:
            assert type(sock) is socket.socket
            assert sock.fileno() != self.fd
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(LINGER)) == LINGER
            sock.settimeout(5)
            self.peer.sendall(b"hello")
            assert sock.recv(10) == b"hello"
            sock.sendall(b"hello, too")
            assert self.peer.recv(20) == b"hello, too"
        assert self.detached == []


@pytest.mark.parametrize("outcome", [blocks, succeeds])
@pytest.mark.parametrize("later", [False, True], ids=["first attempt", "later attempt"])
def test_detached_in_the_middle_of_an_attempt(driver: Driver, later: bool, outcome: Callable[[], int]) -> None:
    detaching = Detaching(driver, outcome)
    handle = detaching.handle
    reading = driver.spawn(does(handle.recv(10)))
    if later:
        task = driver.spawn(does(handle.connect(())))
        handle.sock.script = detaching.detach
    else:
        handle.sock.script = detaching.detach
        task = driver.spawn(does(handle.connect(())))
    driver.until(lambda: task.done and reading.done)
    assert isinstance(reading.error, Closed)
    assert isinstance(task.error, Closed) if outcome is blocks else task.error is None
    detaching.is_well()


def test_detached_in_the_middle_of_an_attempt_that_is_interrupted(driver: Driver) -> None:
    detaching = Detaching(driver, interrupts)
    task = driver.spawn(does(detaching.handle.connect(())))
    detaching.handle.sock.script = detaching.detach
    with pytest.raises(KeyboardInterrupt):
        driver.poller.poll(5)
    driver.until(lambda: task.done)
    assert isinstance(task.error, Closed)
    detaching.is_well()


def test_detached_without_a_descriptor_to_spare(driver: Driver) -> None:
    """The call has then changed nothing, and may be tried again."""
    resource = pytest.importorskip("resource")
    detaching = Detaching(driver, blocks)
    handle = detaching.handle

    def without() -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OSError, match="Too many open files|Invalid argument"):
                handle.detach()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return detaching.detach()

    handle.sock.script = without
    with pytest.raises(Closed):
        driver.run(does(handle.connect(())))
    detaching.is_well()
