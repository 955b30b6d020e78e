"""A closed handle is freed at once, whatever it was doing: nothing waits for the garbage collector."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pollers import Cancelled, Closed
from tests.garbage import left_by

from . import kinds
from .driver import Driver, Steps, does, tcp_pair


class Sockets:
    """Handles that the driver does not keep."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def udp(self) -> Any:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        return self.driver.poller.attach(sock)

    def pair(self) -> tuple[Any, Any]:
        one, other = tcp_pair()
        return self.driver.poller.attach(one), self.driver.poller.attach(other)

    def full(self) -> tuple[Any, Any]:
        """Return a pair whose first socket cannot send any more."""
        one, other = map(self.driver.poller.attach, socket.socketpair())  # TCP moves data on, which makes room again
        with suppress(BlockingIOError):
            while True:
                one.sock.send(bytes(1 << 16))
        return one, other

    def listener(self) -> tuple[Any, tuple[str, int]]:
        sock = socket.create_server(("127.0.0.1", 0))
        return self.driver.poller.attach(sock), sock.getsockname()


def ends(operation: Any, *errors: type[BaseException]) -> Steps[None]:
    """Await one operation, which must end like that. A Task that kept the error would be a cycle itself."""
    with pytest.raises(errors):
        yield from operation


def may_end(operation: Any, error: type[BaseException]) -> Steps[None]:
    with suppress(error):
        yield from operation


def idle(driver: Driver) -> None:
    Sockets(driver).udp().close()


def exchange(driver: Driver) -> None:
    one, other = Sockets(driver).pair()
    receiving = driver.spawn(does(other.recv(10)))
    driver.run(does(one.sendall(b"x")))
    driver.finish(receiving)
    one.close()
    assert driver.run(does(other.recv(10))) == b""
    other.close()


def accepted(driver: Driver) -> None:
    listener, address = Sockets(driver).listener()
    accepting = driver.spawn(does(listener.accept()))
    client = driver.poller.attach(socket.socket())
    driver.run(does(client.connect(address)))
    handle, _ = driver.finish(accepting)[0]
    handle.close()
    client.close()
    listener.close()


def refused(driver: Driver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    client = driver.poller.attach(socket.socket())
    driver.run(ends(client.connect(address), ConnectionRefusedError))
    client.close()


def closed_while_it_waits(driver: Driver) -> None:
    one, other = Sockets(driver).full()
    tasks = [driver.spawn(ends(operation, Closed)) for operation in (one.recv(1), one.send(b"x"))]
    one.close()
    driver.finish(*tasks)
    other.close()


def closed_by_who_is_resumed(driver: Driver) -> None:
    one, other = Sockets(driver).pair()

    def closer() -> Steps[None]:
        yield from one.recv(1)
        one.close()
        with pytest.raises(Closed):
            yield from one.recv(1)

    closing = driver.spawn(closer())
    driver.run(does(other.sendall(b"x")))
    driver.finish(closing)
    other.close()


def cancelled(driver: Driver) -> None:
    one, other = Sockets(driver).full()
    listener, _ = Sockets(driver).listener()
    for operation in one.recv(1), one.send(b"x"), one.sendall(b"xy"), listener.accept():
        driver.give_up(driver.spawn(ends(operation, Cancelled)))
    for handle in one, other, listener:
        handle.close()


def dropped(driver: Driver) -> None:
    """An operation is never resumed: its generator is dropped while it waits, or before it has begun."""
    one, other = Sockets(driver).pair()
    task = driver.spawn(does(one.recv(1)))
    task.steps.close()
    one.recv(1).close()
    one.close()
    other.close()


def reset(driver: Driver) -> None:
    one, other = Sockets(driver).pair()
    driver.run(does(one.sendall(b"x")))  # unread data makes the close a reset
    other.close()
    driver.run(may_end(one.recv(10), ConnectionResetError))  # Wine may report it as an end of stream
    driver.run(ends(one.send(b"x"), ConnectionResetError, BrokenPipeError))
    one.close()


def detached(driver: Driver) -> None:
    Sockets(driver).udp().detach().close()


CASES = [
    idle,
    exchange,
    accepted,
    refused,
    closed_while_it_waits,
    closed_by_who_is_resumed,
    cancelled,
    dropped,
    reset,
    detached,
]


@pytest.mark.parametrize("case", CASES)
def test_closed_handles_leave_no_cycle(driver: Driver, case: Callable[[Driver], None]) -> None:
    assert left_by(lambda: case(driver)) == []


@pytest.mark.parametrize("manner", ["bare", "checked", "shared"])
@pytest.mark.parametrize("kind", sorted({kind for kind, _ in kinds.names()}))
def test_handles_of_a_poller_that_was_shut_down_leave_no_cycle(kind: str, manner: str) -> None:
    def case() -> None:
        driver = Driver(kinds.make(kind, checked=manner == "checked"), kind)
        if manner == "shared":
            driver.poller.share()
        one, other = Sockets(driver).pair()
        driver.run(does(one.sendall(b"x")))
        driver.run(does(other.recv(1)))
        driver.close()

    assert left_by(case) == []


def test_a_direction_outlives_its_handle(driver: Driver) -> None:
    """A snapshot, or a late thread, may still refer to the direction that it waited on."""
    one, other = Sockets(driver).pair()
    task = driver.spawn(ends(one.recv(1), Closed))
    reading, writing = one.reading, one.writing
    one.close()
    assert reading.cancel(Cancelled()) is False
    driver.finish(task)
    for direction in reading, writing:
        assert direction.fileno() == -1
        assert "fd -1" in direction.describe()
        assert repr(direction)
        assert direction.error is None
        assert direction.waiter is None
        assert direction.cancel(Cancelled()) is False
    other.close()


def test_closed_while_it_lets_others_run(driver: Driver) -> None:
    one, other = Sockets(driver).pair()
    driver.poller.streak = 64
    steps = iter(one.send(b"x"))
    direction = next(steps)
    one.close()
    assert direction.park("waiter") is True
    with pytest.raises(Closed):
        next(steps)
    other.close()


def test_an_accept_that_is_dropped_after_the_close_loses_no_connection(driver: Driver) -> None:
    """The accept had finished when the listener was closed: the connection is closed with it."""
    listener, address = Sockets(driver).listener()
    steps = iter(listener.accept())
    direction = next(steps)
    assert not direction.park(steps)
    with socket.create_connection(address, timeout=20) as client:
        while not driver.poller.poll(20):
            pass
        listener.close()
        steps.close()
        client.settimeout(20)
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
