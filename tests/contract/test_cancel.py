"""Cancel returns True or False, and never loses anything."""

from __future__ import annotations

import contextlib
import io
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pollers import STREAK_MAX, Cancelled, Handle

from ..interop.peers import beside
from .driver import Driver, Steps, Task, does


def test_a_wait_that_is_given_up_ends_with_the_error_given(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        error = TimeoutError("late")
        assert driver.cancel(task, error) is True
        driver.turn(0)
        assert task.error is error


def test_the_direction_is_free_afterwards(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        for round_ in range(5):
            task = driver.spawn(does(handle.recv(10)))
            assert driver.cancel(task)
            driver.turn(0)
            peer.sendall(b"%d" % round_)
            assert driver.run(does(handle.recv(10))) == b"%d" % round_


def test_a_finished_operation_cannot_be_cancelled(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"won")
        finished: list[object] = []
        while not finished:
            finished = driver.poller.poll(5)
        assert task.waiting_on.cancel(Cancelled()) is False
        driver.step(task)
        assert task.result == b"won"


def test_twice_is_once(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        assert driver.cancel(task) is True
        assert task.waiting_on.cancel(Cancelled()) is False
        driver.turn(0)
        assert task.done


def test_poll_does_not_return_what_was_cancelled(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        assert task.waiting_on.cancel(Cancelled()) is True
        peer.sendall(b"too late")
        assert driver.poller.poll(0.05) == []
        driver.step(task)
        assert isinstance(task.error, Cancelled)
        assert driver.run(does(handle.recv(10))) == b"too late"


def test_thrown_into_while_it_waits(driver: Driver) -> None:
    """A scheduler does not do this, but any generator can be closed. The direction must be free again."""
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        task.steps.close()
        peer.sendall(b"next")
        assert driver.run(does(handle.recv(10))) == b"next"


@pytest.mark.parametrize("rounds", [3000])
def test_cancel_against_data(driver: Driver, rounds: int) -> None:
    handle, peer = driver.half()
    produced = b"".join(b"%07d\n" % number for number in range(rounds))

    def produce() -> None:
        for at in range(0, len(produced), 8):
            peer.sendall(produced[at : at + 8])

    producer = threading.Thread(target=produce)
    producer.start()
    got = bytearray()
    cancelled = delivered = 0
    try:
        while len(got) < len(produced):
            task = driver.spawn(does(handle.recv(16)))
            if not task.done:
                driver.turn(0)
            if not task.done and driver.cancel(task):
                driver.turn(0)
            driver.until(lambda task=task: task.done)  # type: ignore[misc]
            if isinstance(task.error, Cancelled):
                cancelled += 1
            else:
                got += task.outcome()
                delivered += 1
    finally:
        producer.join()
        peer.close()
    assert bytes(got) == produced
    assert delivered > 0


def test_cancel_against_connections(driver: Driver) -> None:
    listener, address = driver.listener(backlog=1000)
    for _ in range(5):  # never use more descriptors at a time than every system allows
        cancel_against_connections(driver, listener, address, rounds=200)


def cancel_against_connections(driver: Driver, listener: Handle, address: tuple[str, int], rounds: int) -> None:
    clients: list[socket.socket] = []

    def produce() -> None:
        clients.extend(socket.create_connection(address) for _ in range(rounds))

    producer = threading.Thread(target=produce)
    producer.start()
    accepted: set[object] = set()
    try:
        while len(accepted) < rounds:
            task = driver.spawn(does(listener.accept()))
            if not task.done:
                driver.turn(0)
            if not task.done and driver.cancel(task):
                driver.turn(0)
            driver.until(lambda task=task: task.done)  # type: ignore[misc]
            if not isinstance(task.error, Cancelled):
                handle, peer = task.outcome()
                accepted.add(peer)
                handle.close()
    finally:
        producer.join()
    assert accepted == {client.getsockname() for client in clients}
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    "name", ["recv", "recvfrom", "sendto", "sendall", "sendfile", "wait_readable", "wait_writable"]
)
def test_a_loop_of_operations_that_need_not_wait_is_cancelled(driver: Driver, name: str) -> None:
    """The peer of the sends receives as fast as it can."""
    handle, peer = driver.half()
    peer.sendall(b"x" * 10000)
    datagrams, address = queue_of_datagrams(driver, 100)
    for one in (handle, datagrams):
        driver.run(does(one.wait_readable()))

    def consume() -> None:
        with contextlib.suppress(ConnectionResetError):  # the handle is closed with data that it has not received
            while peer.recv(100000):
                pass

    rounds = 0

    def repeat(make: Callable[[], Any]) -> Steps[None]:
        nonlocal rounds
        while rounds < 1000:
            yield from make()
            rounds += 1

    with tempfile.TemporaryFile() as file:
        file.truncate(200000)
        operations: dict[str, Callable[[], Any]] = {
            "recv": lambda: handle.recv(1),
            "recvfrom": lambda: datagrams.recvfrom(100),
            "sendto": lambda: datagrams.sendto(b"x", address),
            "sendall": lambda: handle.sendall(bytes(200000)),
            "sendfile": lambda: handle.sendfile(file.fileno(), 0, 200000),
            "wait_readable": handle.wait_readable,
            "wait_writable": datagrams.wait_writable,
        }
        with peer, beside(consume):
            task = driver.spawn(repeat(operations[name]))
            driver.give_up(task)
            handle.close()
    if isinstance(task.error, io.UnsupportedOperation):
        pytest.skip("this poller has no sendfile")
    assert isinstance(task.error, Cancelled)
    assert rounds <= STREAK_MAX


def queue_of_datagrams(driver: Driver, count: int) -> tuple[Handle, object]:
    """Return a handle that has `count` datagrams to receive, and its address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    for _ in range(count):
        sock.sendto(b"x", sock.getsockname())
    return driver.attach(sock), sock.getsockname()


def test_a_loop_of_accepts_is_cancelled_although_clients_wait(driver: Driver) -> None:
    """It may take some of them first. But a kernel that accepts for us is not asked for more meanwhile."""
    listener, address = driver.listener(backlog=128)
    clients = [socket.create_connection(address) for _ in range(100)]
    accepted = 0

    def server() -> Steps[None]:
        nonlocal accepted
        while True:
            handle, _ = yield from listener.accept()
            accepted += 1
            handle.close()

    task = driver.spawn(server())
    driver.give_up(task)
    assert isinstance(task.error, Cancelled)
    assert accepted <= STREAK_MAX
    for client in clients:
        client.close()


def test_cancel_against_datagrams(driver: Driver) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    handle = driver.attach(sock)
    rounds = 1000
    got = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(rounds):
            task = driver.spawn(does(handle.recvfrom(100)))
            if number % 3 == 0:
                driver.cancel(task)
            sender.sendto(b"%d" % number, handle.sock.getsockname())
            if number % 3 == 1 and not driver.turn(0) and driver.cancel(task):
                driver.turn(0)
            driver.until(lambda task=task: task.done)  # type: ignore[misc]
            if isinstance(task.error, Cancelled):
                task = driver.spawn(does(handle.recvfrom(100)))
            got.append(int(driver.finish(task)[0][0]))
    assert got == list(range(rounds))


def test_a_send_that_is_cancelled_at_random(driver: Driver) -> None:
    """What arrives is what the operations said was sent, in order."""
    handle, peer = driver.half()
    total = 4 << 20
    data = bytes(range(251)) * (total // 251)
    got = bytearray()

    def consume() -> None:
        while block := peer.recv(30000):
            got.extend(block)

    consumer = threading.Thread(target=consume)
    consumer.start()
    sent = 0
    while sent < len(data):
        task: Task = driver.spawn(does(handle.sendall(data[sent : sent + 100000])))
        if not task.done and driver.cancel(task):
            driver.turn(0)
        driver.until(lambda task=task: task.done)  # type: ignore[misc]
        if task.error is None:
            sent += len(data[sent : sent + 100000])
        else:
            sent += task.error.bytes_sent  # type: ignore[attr-defined]
    handle.close()
    consumer.join()
    peer.close()
    assert bytes(got) == data


def test_reader_goes_on_while_the_writer_is_cancelled(driver: Driver) -> None:
    one, other = driver.pair()

    def writer() -> Steps[None]:
        yield from one.sendall(bytes(1 << 24))

    reading = driver.spawn(does(one.recv(10)))
    writing = driver.spawn(writer())
    driver.give_up(writing)
    driver.run(does(other.send(b"hello")))
    assert driver.finish(reading) == [b"hello"]
