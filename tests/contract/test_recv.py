"""Receive: when data arrives, when nothing arrives, when the stream ends."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
from typing import Any

import pytest

from pollers import Busy, Cancelled, Closed

from .driver import Driver, Steps, Task, does

FAMILIES = pytest.mark.parametrize("family", ["inet", "unix"])


@FAMILIES
def test_data_that_is_there_already(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        peer.sendall(b"hello")
        driver.run(does(handle.wait_readable()))
        task = driver.spawn(does(handle.recv(100)))
        assert task.done, "no wait is needed"
        assert task.result == b"hello"


@FAMILIES
def test_data_that_comes_later(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        task = driver.spawn(does(handle.recv(100)))
        assert not task.done
        assert driver.turn(0) == 0
        peer.sendall(b"hello")
        assert driver.finish(task) == [b"hello"]
        assert task.resumptions == 2, "poll() returned it once"


@FAMILIES
def test_no_more_than_asked_for_and_the_rest_stays(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        peer.sendall(b"0123456789")
        assert driver.run(does(handle.recv(4))) == b"0123"
        assert driver.run(does(handle.recv(4))) == b"4567"
        assert driver.run(does(handle.recv(4))) == b"89"


@FAMILIES
def test_end_of_stream_is_empty_again_and_again(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    peer.close()
    for _ in range(3):
        assert driver.run(does(handle.recv(10))) == b""


@FAMILIES
def test_end_of_stream_wakes_a_waiter(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    task = driver.spawn(does(handle.recv(10)))
    peer.close()
    assert driver.finish(task) == [b""]


@FAMILIES
@pytest.mark.parametrize("waits_first", [False, True])
def test_data_and_end_in_one_event(driver: Driver, family: str, waits_first: bool) -> None:
    handle, peer = driver.half(family)

    def reader() -> Steps[list[bytes]]:
        got = []
        while data := (yield from handle.recv(100)):
            got.append(data)
        return got

    if waits_first:
        task = driver.spawn(reader())
    with peer:
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        if not waits_first:
            task = driver.spawn(reader())
        assert driver.finish(task) == [[b"last words"]]


def test_end_that_comes_just_after_the_data(driver: Driver) -> None:
    """The race between a short receive, which means "empty", and the FIN after it."""
    for _ in range(300):
        handle, peer = driver.half()
        task = driver.spawn(does(handle.recv(100)))
        peer.sendall(b"x")
        driver.finish(task)
        task = driver.spawn(does(handle.recv(100)))
        peer.close()
        assert driver.finish(task) == [b""]
        handle.close()


def test_urgent_data_does_not_hide_what_follows(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:

        def reader() -> Steps[bytes]:
            got = b""
            while not got.endswith(b"after"):
                got += yield from handle.recv(100)
            return got

        task = driver.spawn(reader())
        peer.sendall(b"before")
        peer.send(b"!", socket.MSG_OOB)
        peer.sendall(b"after")
        assert driver.finish(task) == [b"beforeafter"]


def test_reset_by_the_peer(driver: Driver) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(ConnectionResetError):
        driver.finish(task)


@FAMILIES
def test_recv_into(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        buffer = bytearray(b"..........")
        task = driver.spawn(does(handle.recv_into(buffer)))
        assert not task.done
        peer.sendall(b"abc")
        assert driver.finish(task) == [3]
        assert buffer == b"abc......."
        peer.sendall(b"defghi")
        assert driver.run(does(handle.recv_into(memoryview(buffer)[3:], 2))) == 2
        assert buffer == b"abcde....."
        assert driver.run(does(handle.recv_into(bytearray(0)))) == 0


def test_nothing_asked_for_is_nothing_at_once(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        for _ in range(2):
            task = driver.spawn(does(handle.recv(0)))
            assert task.done
            assert task.result == b""
            peer.sendall(b"x")
            assert driver.run(does(handle.recv(10))) == b"x"  # the handle knows from here on that the socket is empty


def test_bad_arguments_are_refused_before_anything_happens(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        with pytest.raises(ValueError, match="negative"):
            handle.recv(-1)
        with pytest.raises(TypeError):
            handle.recv("10")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="negative"):
            handle.recv_into(bytearray(5), -1)
        with pytest.raises(ValueError, match="5 bytes"):
            handle.recv_into(bytearray(5), 6)
        with pytest.raises(TypeError):
            handle.recv_into(b"constant")
        peer.sendall(b"still here")
        assert driver.run(does(handle.recv(100))) == b"still here"


def test_more_than_memory_is_an_error_of_the_operation(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(1 << 62)))
        peer.sendall(b"x")
        with pytest.raises((MemoryError, OverflowError)):
            driver.finish(task)
        assert driver.run(does(handle.recv(10))) == b"x"


def test_second_reader_is_refused_and_the_first_lives(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        first = driver.spawn(does(handle.recv(10)))
        for operation in (handle.recv(10), handle.recv_into(bytearray(3)), handle.wait_readable(), handle.recvfrom(5)):
            second = driver.spawn(does(operation))
            assert isinstance(second.error, Busy)
        peer.sendall(b"for the first")
        assert driver.finish(first) == [b"for the fi"]
        assert driver.run(does(handle.recv(10))) == b"rst"


def test_reader_and_writer_at_once(driver: Driver) -> None:
    one, other = driver.pair()
    reader = driver.spawn(does(one.recv(10)))
    assert driver.run(does(one.send(b"ping"))) == 4
    assert driver.run(does(other.recv(10))) == b"ping"
    driver.run(does(other.send(b"pong")))
    assert driver.finish(reader) == [b"pong"]


def test_wait_readable_consumes_nothing(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.wait_readable()))
        assert not task.done
        peer.sendall(b"x")
        assert driver.finish(task) == [None]
        assert driver.run(does(handle.recv(10))) == b"x"
        task = driver.spawn(does(handle.wait_readable()))
        assert not task.done, "what was received is not announced again"
        peer.close()
        assert driver.finish(task) == [None]


def test_own_shutdown_ends_the_receive(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        handle.sock.shutdown(socket.SHUT_RD)
        assert driver.finish(task) == [b""]


# Between poll() and the step: a poller may leave the receive to the step of its waiter, and nobody can tell the
# difference.


def seen(driver: Driver, handle: Any, peer: socket.socket) -> tuple[Task, bytearray]:
    """Return a task that poll() has returned after a task with a large receive, and the list for its data: b'data'."""
    large, flood = driver.half("unix")
    buffer = bytearray(10)
    before = driver.spawn(does(large.recv(1 << 20)))
    task = driver.spawn(does(handle.recv_into(buffer)))
    with flood:
        flood.sendall(bytes(70_000))
        peer.sendall(b"data")
        finished: list[Any] = []
        while task not in finished:
            finished += driver.poller.poll(5)
        assert finished == [before, task]
        driver.step(before)
    large.close()
    return task, buffer


def take(handle: Any) -> bytes:
    """Take the data that the poller has not received yet, if it leaves the receive to the step."""
    with contextlib.suppress(BlockingIOError):
        return handle.sock.recv(10)  # type: ignore[no-any-return]
    return b""


def test_somebody_else_was_faster(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task, buffer = seen(driver, handle, peer)
        taken = take(handle)
        driver.step(task)
        if taken:
            assert (taken, task.done) == (b"data", False)
            peer.sendall(b"more")
            driver.finish(task)
            assert buffer[:5] == b"more\0"
        else:
            assert buffer[:5] == b"data\0"
        assert task.result == 4


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("end", ["cancel", "close", "detach", "shut down"])
def test_what_has_come_is_delivered_whatever_comes_next(driver: Driver, end: str, gone: bool) -> None:
    handle, peer = driver.half()
    with peer:
        task, buffer = seen(driver, handle, peer)
        taken = take(handle) if gone else b""
        if end == "cancel":
            assert task.waiting_on.cancel(Cancelled("by the test")) is False
        elif end == "close":
            handle.close()
        elif end == "detach":
            try:
                handle.detach().close()
            except io.UnsupportedOperation:
                handle.close()
        else:
            peer.shutdown(socket.SHUT_WR)
        driver.step(task)
        if end == "shut down":
            driver.finish(task)
            assert task.result == (0 if taken else 4)
        elif taken:
            assert isinstance(task.error, Cancelled if end == "cancel" else Closed)
        else:
            assert (task.result, bytes(buffer[:4])) == (4, b"data")
        assert driver.turn(0) == 0, "poll() has returned it, and does so once"


def test_an_event_more_before_the_step(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task, buffer = seen(driver, handle, peer)
        peer.sendall(b" and more")
        assert driver.turn(0.01) == 0
        driver.step(task)
        got = bytes(buffer[: task.result])
        while len(got) < len(b"data and more"):
            got += driver.run(does(handle.recv(100)))
        assert got == b"data and more"
