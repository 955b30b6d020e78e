"""Close: waiters wake up, the number can be reused, and no event of the old socket reaches the new one."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from pollers import Closed

from .driver import Driver, Steps, does, tcp_pair


def test_reader_and_writer_are_woken(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        reader = driver.spawn(does(handle.recv(10)))
        writer = driver.spawn(does(handle.send(b"x")))
        handle.close()
        assert not reader.done, "close() runs no code of the waiters"
        driver.turn(5)
        assert isinstance(reader.error, Closed)
        assert isinstance(writer.error, Closed)
        assert reader.resumptions == writer.resumptions == 2


def test_acceptor_is_woken(driver: Driver) -> None:
    listener, _ = driver.listener()
    task = driver.spawn(does(listener.accept()))
    listener.close()
    with pytest.raises(Closed):
        driver.finish(task)


def test_closed_for_every_operation_afterwards(driver: Driver) -> None:
    handle, peer = driver.half()
    peer.close()
    handle.close()
    handle.close()
    assert handle.fileno() == -1
    for operation in (
        handle.recv(10),
        handle.recv(0),
        handle.recv_into(bytearray(1)),
        handle.recvfrom(1),
        handle.accept(),
        handle.wait_readable(),
        handle.send(b"x"),
        handle.sendall(b"x"),
        handle.sendto(b"x", ("127.0.0.1", 9)),
        handle.connect(("127.0.0.1", 9)),
        handle.wait_writable(),
    ):
        with pytest.raises(Closed):
            driver.run(does(operation))
    with pytest.raises(Closed):
        handle.detach()


def test_what_had_finished_is_delivered(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"in time")
        finished: list[object] = []
        while not finished:
            finished = driver.poller.poll(5)
        handle.close()
        driver.step(task)
        assert task.result == b"in time"
        with pytest.raises(Closed):
            driver.run(does(handle.recv(10)))


def test_closed_between_the_first_step_and_the_park(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        steps = iter(handle.recv(10))
        direction = next(steps)
        handle.close()
        assert direction.park("waiter") is True
        with pytest.raises(Closed):
            next(steps)


def test_the_peer_sees_the_end(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.run(does(handle.sendall(b"bye")))
        handle.close()
        assert peer.recv(10) == b"bye"
        assert peer.recv(10) == b""


def test_a_reused_number_gets_no_event_of_its_predecessor(driver: Driver) -> None:
    """Two sockets become ready in one batch. The first waiter closes the second, and a new socket gets its number."""
    for _ in range(50):
        first, first_peer = driver.half()
        second, second_peer = driver.half()
        number = second.fileno()
        newcomer: dict[str, Any] = {}

        def killer(first=first, second=second, newcomer=newcomer) -> Steps[None]:  # type: ignore[no-untyped-def]
            yield from first.recv(10)
            second.close()
            newcomer["pair"] = tcp_pair()
            newcomer["handle"] = driver.attach(newcomer["pair"][0])

        killing = driver.spawn(killer())
        victim = driver.spawn(does(second.recv(100)))
        second_peer.sendall(b"for the second")
        first_peer.sendall(b"go")
        driver.until(lambda killing=killing, victim=victim: killing.done and victim.done)  # type: ignore[misc]
        assert victim.result == b"for the second" or isinstance(victim.error, Closed)
        handle = newcomer["handle"]
        task = driver.spawn(does(handle.recv(100)))
        assert driver.turn(0) == 0
        assert not task.done, f"number {number} became {handle.fileno()}"
        newcomer["pair"][1].sendall(b"mine")
        assert driver.finish(task) == [b"mine"]
        for sock in (first_peer, second_peer, newcomer["pair"][1]):
            sock.close()
        first.close()
        handle.close()


def test_a_descriptor_that_was_duplicated_goes_silent(driver: Driver) -> None:
    """Some kernels keep the registration as long as a duplicate is open."""
    handle, peer = driver.half()
    driver.spawn(does(handle.recv(10)))
    with peer:
        copy = os.dup(handle.fileno())
        try:
            handle.close()
            driver.turn(0)
            peer.sendall(b"to nobody")
            before = driver.poller.stats().events
            driver.turn(0)
            assert driver.poller.stats().events == before
        finally:
            os.close(copy)


def test_detach_gives_the_socket_back(driver: Driver) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    with peer, handle.detach() as sock:
        with pytest.raises(Closed):
            driver.finish(task)
        assert sock.fileno() >= 0
        peer.sendall(b"hello")
        again = driver.attach(sock)
        assert driver.run(does(again.recv(10))) == b"hello"


def test_shutdown_ends_what_is_in_flight(driver: Driver, recwarn: pytest.WarningsRecorder) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    with peer:
        ended = driver.poller.shutdown()
        assert ended == [task]
        driver.step(task)
        assert isinstance(task.error, Closed)
        assert driver.poller.shutdown() == []
        with pytest.raises(RuntimeError, match="shut down"):
            driver.poller.poll(0)
        with pytest.raises(RuntimeError, match="shut down"):
            driver.poller.attach(peer)
        assert handle.fileno() == -1
        driver.handles.clear()
        driver.turn = lambda timeout_s=0: 0  # type: ignore[method-assign]
    recwarn.clear()


def test_a_socket_is_attached_once(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        with pytest.raises(ValueError, match="attached already"):
            driver.poller.attach(handle.sock)
        closed = socket.socket()
        closed.close()
        with pytest.raises(Closed):
            driver.poller.attach(closed)
