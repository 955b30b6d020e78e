"""Accept: clients that wait, come later, leave early, or come when there is no descriptor left."""

from __future__ import annotations

import errno
import socket
import struct
from unittest import mock

import pytest

from pollers import Busy, Cancelled, Exhausted

from ..limits import needs_limit, no_descriptor_left
from .driver import Driver, Steps, does


def test_a_client_that_waits_and_one_that_comes_later(driver: Driver) -> None:
    listener, address = driver.listener()
    with socket.create_connection(address) as early:
        handle, peer = driver.run(does(listener.accept()))
        assert peer == early.getsockname()
        handle.close()
    task = driver.spawn(does(listener.accept()))
    assert not task.done
    with socket.create_connection(address) as late:
        handle, peer = driver.finish(task)[0]
        assert peer == late.getsockname()
        assert not handle.sock.getblocking()
        late.sendall(b"hello")
        assert driver.run(does(handle.recv(10))) == b"hello"
        handle.close()


def test_many_clients_at_once_are_all_taken(driver: Driver) -> None:
    listener, address = driver.listener(backlog=128)  # older systems queue this many
    clients = [socket.create_connection(address) for _ in range(120)]

    def server() -> Steps[set[object]]:
        peers = set()
        for _ in clients:
            handle, peer = yield from listener.accept()
            peers.add(peer)
            handle.close()
        return peers

    assert driver.run(server()) == {client.getsockname() for client in clients}
    for client in clients:
        client.close()


def test_a_client_that_left_early(driver: Driver) -> None:
    listener, address = driver.listener()
    client = socket.create_connection(address)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with socket.create_connection(address) as second:

        def server() -> Steps[object]:
            while True:
                handle, peer = yield from listener.accept()
                handle.close()
                if peer == second.getsockname():
                    return peer

        driver.run(server())


def test_an_error_of_one_connection_is_not_the_listeners(driver: Driver) -> None:
    """The kernel reports an error that was pending on the connection; accept takes the next one."""
    if driver.kind in ("native", "iocp"):
        pytest.skip("no Python call to replace; tests/native covers these errors")
    listener, address = driver.listener()
    real = listener.sock.accept
    failures = [OSError(errno.ECONNABORTED, "aborted"), OSError(errno.EPROTO, "protocol"), OSError(errno.EPERM, "no")]

    def accept() -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        return real()

    with socket.create_connection(address), mock.patch.object(type(listener.sock), "accept", side_effect=accept):
        handle, _ = driver.run(does(listener.accept()))
        handle.close()
    assert not failures


@needs_limit
@pytest.mark.parametrize("waits_first", [False, True])
def test_no_descriptor_left(driver: Driver, waits_first: bool) -> None:
    """Accept raises Exhausted. The connection waits, and the next accept takes it."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept())) if waits_first else None
    with socket.create_connection(address) as client:
        with no_descriptor_left():
            task = task or driver.spawn(does(listener.accept()))
            driver.until(lambda: task.done)
            assert isinstance(task.error, Exhausted)
            assert task.error.errno == errno.EMFILE
        handle, peer = driver.run(does(listener.accept()))
        assert peer == client.getsockname()
        handle.close()


def test_a_crowd_that_has_left_does_not_stop_the_listener(driver: Driver) -> None:
    """After many lost clients in a row accept raises Exhausted. The next call takes the next client."""
    if driver.kind in ("native", "iocp"):
        pytest.skip("no Python call to replace; tests/native covers these errors")
    listener, address = driver.listener()
    real = listener.sock.accept
    failures = [OSError(errno.ECONNABORTED, "aborted")] * 100

    def accept() -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        return real()

    with socket.create_connection(address), mock.patch.object(type(listener.sock), "accept", side_effect=accept):
        with pytest.raises(Exhausted):
            driver.run(does(listener.accept()))
        handle, _ = driver.run(does(listener.accept()))
        handle.close()
    assert not failures


def test_a_cancelled_accept_takes_nothing(driver: Driver) -> None:
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    driver.give_up(task)
    assert isinstance(task.error, Cancelled)
    with socket.create_connection(address) as client:
        handle, peer = driver.run(does(listener.accept()))
        assert peer == client.getsockname()
        handle.close()


def test_an_accept_that_finished_is_kept_when_its_thread_is_thrown_out(driver: Driver) -> None:
    """An accept has finished, and its generator is closed before it is resumed: the next accept gets the connection."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with socket.create_connection(address) as client:
        finished: list[object] = []
        while not finished:
            finished = driver.poller.poll(5)
        task.steps.close()
        handle, peer = driver.run(does(listener.accept()))
        assert peer == client.getsockname()
        handle.close()


def test_a_kept_connection_goes_with_its_listener(driver: Driver) -> None:
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with socket.create_connection(address) as client:
        while not driver.poller.poll(5):
            pass
        task.steps.close()
        listener.close()
        client.settimeout(5)
        assert client.recv(1) == b""


def test_one_accept_at_a_time(driver: Driver) -> None:
    listener, address = driver.listener()
    first = driver.spawn(does(listener.accept()))
    assert isinstance(driver.spawn(does(listener.accept())).error, Busy)
    with socket.create_connection(address):
        handle, _ = driver.finish(first)[0]
        handle.close()


def test_accept_on_what_does_not_listen(driver: Driver) -> None:
    handle = driver.attach(socket.socket())
    with pytest.raises(OSError, match=r".") as failure:
        driver.run(does(handle.accept()))
    assert failure.value.errno == errno.EINVAL
