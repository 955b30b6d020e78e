"""Somebody else has closed a descriptor: this breaks only its own socket, and not the one that has the number now."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pollers import Closed, Handle

from .driver import Driver, Task, does, tcp_pair

WAITS = pytest.mark.parametrize("waits", ["nobody", "reader", "writer", "both"])


def waiting(driver: Driver, handle: Handle, waits: str) -> list[Task]:
    tasks = []
    if waits in ("reader", "both"):
        tasks.append(driver.spawn(does(handle.recv(10))))
    if waits in ("writer", "both"):
        driver.fill(handle)
        tasks.append(driver.spawn(does(handle.send(b"more"))))
    assert not any(task.done for task in tasks)
    return tasks


def close_behind(handle: Handle) -> int:
    """Close the descriptor as a program does that makes another socket object for the number and drops it."""
    number = handle.fileno()
    socket.socket(fileno=number).close()
    return number


def has_suffered(driver: Driver, *tasks: Task) -> None:
    driver.until(lambda: all(task.done for task in tasks))
    for task in tasks:
        assert isinstance(task.error, OSError)
        assert task.error.errno in (errno.EBADF, errno.ENOTSOCK)


def works(driver: Driver, handle: Handle, peer: socket.socket) -> None:
    task = driver.spawn(does(handle.recv(10)))
    peer.sendall(b"hello")
    assert driver.finish(task) == [b"hello"]
    driver.run(does(handle.sendall(b"hello, too")))
    assert peer.recv(10) == b"hello, too"


@contextlib.contextmanager
def at(number: int, sock: socket.socket) -> Iterator[socket.socket]:
    """Return the same socket with this number, which must be free."""
    with sock, _moved(number, sock) as moved:
        sock.close()
        assert moved.fileno() == number
        moved.settimeout(20)
        yield moved


def _moved(number: int, sock: socket.socket) -> socket.socket:
    if os.name != "nt":
        os.dup2(sock.fileno(), number, inheritable=False)
        return socket.socket(fileno=number)
    with contextlib.ExitStack() as others:  # the system chooses numbers, so try until it is the right one
        for _try in range(200):
            moved = sock.dup()
            if moved.fileno() == number:
                break
            others.enter_context(moved)
        return moved


@WAITS
def test_the_others_go_on(driver: Driver, waits: str) -> None:
    handle, peer = driver.half()
    other, other_peer = driver.half()
    with peer, other_peer:
        tasks = waiting(driver, handle, waits)
        close_behind(handle)
        works(driver, other, other_peer)
        for start in (handle.recv(10), handle.send(b"x"), handle.sendall(b"x"), handle.wait_readable()):
            task = driver.spawn(does(start))
            if not task.done and task not in tasks:  # it ends when the handle is closed
                tasks.append(task)
        handle.close()
        for task in tasks:
            driver.until(lambda task=task: task.done)  # type: ignore[misc]
            assert isinstance(task.error, OSError)
        works(driver, other, other_peer)


def test_its_operations_are_refused(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        close_behind(handle)
        has_suffered(driver, driver.spawn(does(handle.recv(10))), driver.spawn(does(handle.send(b"x"))))


@WAITS
def test_the_number_belongs_to_a_newcomer(driver: Driver, waits: str) -> None:
    lower = socket.socket()  # Wine's dup() uses a lower number than the one that it returns, if one is free
    handle, peer = driver.half()
    with peer:
        tasks = waiting(driver, handle, waits)
        one, two = tcp_pair()
        lower.close()
        with two, at(close_behind(handle), one) as sock:
            two.settimeout(20)
            newcomer = driver.attach(sock)
            has_suffered(driver, *tasks)
            works(driver, newcomer, two)
            for start in (handle.recv(10), handle.sendall(b"x")):
                task = driver.spawn(does(start))
                assert isinstance(task.error, Closed)
            handle.close()
            assert handle.fileno() == -1
            works(driver, newcomer, two)


@WAITS
def test_the_number_belongs_to_a_newcomer_that_was_accepted(driver: Driver, waits: str) -> None:
    if os.name == "nt":
        pytest.skip("descriptor numbers are not predictable on this system")
    handle, peer = driver.half()
    listener, address = driver.listener()
    with peer:
        tasks = waiting(driver, handle, waits)
        number = close_behind(handle)
        with socket.create_connection(address, 20) as client:
            if client.fileno() == number:
                os.close(os.dup(number))
                moved = client.dup()
                client.close()
                client = moved
            with client:
                accepted, _ = driver.run(does(listener.accept()))
                driver.handles.append(accepted)
                assert accepted.fileno() == number
                has_suffered(driver, *tasks)
                handle.close()
                works(driver, accepted, client)


@WAITS
def test_the_number_belongs_to_a_socket_of_somebody_else(driver: Driver, waits: str) -> None:
    handle, peer = driver.half()
    one, two = tcp_pair()
    with peer, two:
        tasks = waiting(driver, handle, waits)
        with at(close_behind(handle), one) as stranger:
            handle.close()
            has_suffered(driver, *tasks)
            two.sendall(b"hello")
            assert stranger.recv(10) == b"hello"
            other = driver.attach(stranger)
            works(driver, other, two)


@WAITS
@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_the_number_belongs_to_a_file(driver: Driver, waits: str, end: str, recwarn: pytest.WarningsRecorder) -> None:
    if os.name == "nt":
        pytest.skip("sockets and files have separate numbers on this system")
    if driver.kind == "simulated":
        pytest.skip("a simulated kernel has sockets only")
    handle, peer = driver.half()
    with peer:
        tasks: list[Any] = waiting(driver, handle, waits)
        number = close_behind(handle)
        reader, writer = os.pipe()
        file = reader if reader == number else writer
        assert file == number
        for start in (handle.recv(10), handle.send(b"x")):
            task = driver.spawn(does(start))
            if not task.done:
                tasks.append(task)
        if end == "close":
            handle.close()
            has_suffered(driver, *[task for task in tasks if task.waiting_on is not None])
        else:
            for task in driver.poller.shutdown():
                driver.step(task)
            driver.handles.clear()
            driver.turn = lambda timeout_s=0: 0  # type: ignore[method-assign]
        os.write(writer, b"still open")
        assert os.read(reader, 100) == b"still open"
        os.close(reader)
        os.close(writer)
    recwarn.clear()


@WAITS
def test_taken_over(driver: Driver, waits: str) -> None:
    """Two live socket objects have one number: it belongs to the later one."""
    handle, peer = driver.half()
    with peer:
        tasks = waiting(driver, handle, waits)
        later = socket.socket(fileno=handle.fileno())
        taken = driver.attach(later)
        has_suffered(driver, *tasks)
        handle.close()
        assert handle.fileno() == -1
        if waits in ("nobody", "reader"):
            works(driver, taken, peer)
        assert taken.fileno() >= 0
        with pytest.raises(ValueError, match="attached already"):
            driver.poller.attach(later)
