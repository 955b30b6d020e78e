"""How a connection ends: the kernel reports a reset only once, and both directions must learn of it."""

from __future__ import annotations

import errno
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pollers import Handle

from .driver import PATIENCE_S, Driver, Steps, Task, does
from .kinds import names

FAMILIES = pytest.mark.parametrize("family", ["inet", "unix"] if hasattr(socket, "AF_UNIX") else ["inet"])
PIECE = b"x" * 1000


def reset(peer: socket.socket) -> None:
    """Reset the connection. A UNIX socket does so if there is data that it has not received."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("HH" if hasattr(socket, "ioctl") else "ii", 1, 0))
    peer.close()


def known(handle: Handle, driver: Driver) -> None:
    """Wait until the reset has arrived, without reading the error."""
    driver.run(does(handle.wait_readable()))


def into(handle: Handle) -> Steps[bytes]:
    buffer = bytearray(10)
    return bytes(buffer[: (yield from handle.recv_into(buffer))])


def when_readable(handle: Handle) -> Steps[bytes]:
    yield from handle.wait_readable()
    return (yield from handle.recv(10))


def sender(handle: Handle) -> Steps[int]:
    """Send as long as the kernel takes data: the reset comes from the peer, not from a send of this side."""
    while True:
        yield from handle.send(PIECE)


def all_sender(handle: Handle) -> Steps[None]:
    while True:
        yield from handle.sendall(PIECE)


def long_sender(handle: Handle) -> Steps[None]:
    yield from handle.sendall(bytearray(1 << 24))


def file_sender(handle: Handle) -> Steps[None]:
    with tempfile.TemporaryFile() as file:
        file.write(PIECE)
        file.flush()
        while True:
            yield from handle.sendfile(file.fileno(), 0, 1000)


def when_writable(handle: Handle) -> Steps[None]:
    while True:
        yield from handle.wait_writable()
        yield from handle.send(PIECE)


READERS: dict[str, Callable[[Handle], Steps[Any]]] = {
    "recv": lambda handle: does(handle.recv(10)),
    "recv_into": into,
    "wait_readable": when_readable,
}
WRITERS: dict[str, Callable[[Handle], Steps[Any]]] = {
    "send": sender,
    "sendall": all_sender,
    "sendall of much": long_sender,
    "sendfile": file_sender,
    "wait_writable": when_writable,
}
PAIRS = pytest.mark.parametrize(
    ("reads", "writes"),
    [(reads, "sendall") for reads in READERS] + [("recv", writes) for writes in WRITERS if writes != "sendall"],
)
SOME_PAIRS = pytest.mark.parametrize(("reads", "writes"), [("recv", "sendall"), ("recv_into", "sendfile")])


def has_sendfile(driver: Driver) -> bool:
    return hasattr(os, "sendfile") or driver.poller.name == "iocp"


@pytest.fixture(autouse=True)
def sends_files(driver: Driver, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params.get("writes") == "sendfile" and not has_sendfile(driver):
        pytest.skip("this poller has no sendfile here")


@pytest.fixture
def connection(driver: Driver, family: str) -> Iterator[tuple[Handle, socket.socket]]:
    handle, peer = driver.half(family)
    with peer:
        if family == "unix":
            driver.run(does(handle.sendall(b"not received")))
        yield handle, peer


def was_reset(driver: Driver, *tasks: Task) -> None:
    driver.until(lambda: all(task.done for task in tasks))
    for task in tasks:
        assert isinstance(task.error, ConnectionResetError), (task.result, task.error)


@FAMILIES
@SOME_PAIRS
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_both_wait(
    driver: Driver, connection: tuple[Handle, socket.socket], reads: str, writes: str, first: str
) -> None:
    handle, peer = connection
    steps = [READERS[reads](handle), WRITERS[writes](handle)]
    tasks = [driver.spawn(it) for it in (steps if first == "reader" else reversed(steps))]
    while driver.turn(0.02):
        pass
    assert not any(task.done for task in tasks)
    reset(peer)
    was_reset(driver, *tasks)


@pytest.mark.parametrize(
    "driver", [one for one in names() if one[0] in ("native", "epoll", "select")], indirect=True, ids="-".join
)
@FAMILIES
@SOME_PAIRS
def test_who_sends_is_told_before_who_receives(
    driver: Driver, connection: tuple[Handle, socket.socket], reads: str, writes: str
) -> None:
    """One event wakes both directions. The writer gets the kernel's error, and the reader must get it, too."""
    handle, peer = connection
    tasks = [driver.spawn(READERS[reads](handle)), driver.spawn(WRITERS[writes](handle))]
    while driver.turn(0.02):
        pass
    reset(peer)
    ended: list[Task] = []
    while len(ended) < 2:
        for task in driver.poller.poll(PATIENCE_S):
            driver.step(task)
            ended += [task] if task.done else []
    assert ended == tasks[::-1]
    was_reset(driver, *tasks)


@FAMILIES
@PAIRS
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_one_waits_and_the_other_comes_later(
    driver: Driver, connection: tuple[Handle, socket.socket], reads: str, writes: str, first: str
) -> None:
    handle, peer = connection
    steps = [READERS[reads], WRITERS[writes]]
    if first == "writer":
        steps.reverse()
    task = driver.spawn(steps[0](handle))
    while driver.turn(0.02):
        pass
    assert not task.done
    reset(peer)
    was_reset(driver, task)
    was_reset(driver, driver.spawn(steps[1](handle)))
    for _ in range(2):
        was_reset(driver, driver.spawn(READERS[reads](handle)))
        again = driver.spawn(WRITERS[writes](handle))
        driver.until(lambda again=again: again.done)  # type: ignore[misc]
        assert isinstance(again.error, ConnectionError)


@FAMILIES
@SOME_PAIRS
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_nobody_waits(
    driver: Driver, connection: tuple[Handle, socket.socket], reads: str, writes: str, first: str
) -> None:
    handle, peer = connection
    reset(peer)
    known(handle, driver)
    steps = [READERS[reads], WRITERS[writes]]
    for step in steps if first == "reader" else reversed(steps):
        was_reset(driver, driver.spawn(step(handle)))


@FAMILIES
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_somebody_else_has_asked(driver: Driver, connection: tuple[Handle, socket.socket], first: str) -> None:
    handle, peer = connection
    reset(peer)
    known(handle, driver)
    number = handle.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    error = OSError(number or errno.ECONNRESET, "reset")  # Wine does not report it
    assert handle.told(error) is error
    assert isinstance(handle.told(), ConnectionResetError)
    assert isinstance(handle.told(BrokenPipeError(errno.EPIPE, "")), ConnectionResetError)
    steps = [READERS["recv"], WRITERS["send"]]
    for step in steps if first == "reader" else reversed(steps):
        was_reset(driver, driver.spawn(step(handle)))


@FAMILIES
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_what_came_before_is_delivered_before(
    driver: Driver, connection: tuple[Handle, socket.socket], first: str
) -> None:
    handle, peer = connection
    peer.sendall(b"data")
    known(handle, driver)
    reset(peer)
    if first == "writer":
        was_reset(driver, driver.spawn(all_sender(handle)))
    assert driver.run(does(handle.recv(10))) == b"data"
    was_reset(driver, driver.spawn(does(handle.recv(10))))
    if first == "reader":
        was_reset(driver, driver.spawn(all_sender(handle)))


@pytest.mark.parametrize("asked", [True, False])
def test_an_end_of_stream_stays_one(driver: Driver, asked: bool) -> None:
    """The peer has sent everything and ended its stream, and then does not receive what we send."""
    handle, peer = driver.half()
    with peer:
        peer.shutdown(socket.SHUT_WR)
        known(handle, driver)
        if asked:
            assert driver.run(does(handle.recv(10))) == b""
        reset(peer)
        writer = driver.spawn(all_sender(handle))
        driver.until(lambda: writer.done)
        assert isinstance(writer.error, BrokenPipeError if hasattr(socket, "AF_UNIX") else ConnectionError)
        for read in [READERS["recv"], into] * 2:
            if asked or hasattr(socket, "AF_UNIX"):
                assert driver.run(read(handle)) == b""
            else:  # Windows does not say which of the two came first
                was_reset(driver, driver.spawn(read(handle)))


def test_an_end_of_stream_that_was_told_stays_one_whatever_is_told_later(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        peer.shutdown(socket.SHUT_WR)
        assert driver.run(does(handle.recv(10))) == b""
        handle.told(ConnectionResetError(errno.ECONNRESET, "reset"))
        assert driver.run(does(handle.recv(10))) == b""
        assert driver.run(into(handle)) == b""
        assert handle.told() is None


@FAMILIES
def test_sending_after_the_own_end(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        handle.sock.shutdown(socket.SHUT_WR)
        for name, step in WRITERS.items():
            if name == "sendfile" and not has_sendfile(driver):
                continue
            task = driver.spawn(step(handle))
            driver.until(lambda task=task: task.done)  # type: ignore[misc]
            assert isinstance(task.error, BrokenPipeError)
        peer.sendall(b"data")
        peer.shutdown(socket.SHUT_WR)
        assert driver.run(does(handle.recv(10))) == b"data"
        assert driver.run(does(handle.recv(10))) == b""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="no TCP_USER_TIMEOUT on this system")
@pytest.mark.parametrize("waits", ["reader", "writer", "both"])
def test_any_other_end_is_told_to_both(driver: Driver, waits: str) -> None:
    """The peer takes no data for too long, and the kernel gives up the connection."""
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        handle.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1)
        steps = {"reader": READERS["recv"], "writer": WRITERS["send"]}
        tasks = [driver.spawn(step(handle)) for name, step in steps.items() if waits in (name, "both")]
        assert not any(task.done for task in tasks)
        driver.until(lambda: all(task.done for task in tasks))
        tasks += [driver.spawn(step(handle)) for name, step in steps.items() if name != waits != "both"]
        driver.until(lambda: all(task.done for task in tasks))
        for task in tasks:
            assert isinstance(task.error, TimeoutError), (task.result, task.error)
            assert task.error.errno == errno.ETIMEDOUT


def test_a_datagram_socket_is_well(driver: Driver) -> None:
    """An error of a datagram socket concerns only one datagram."""
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with other:
        other.bind(("127.0.0.1", 0))
        one.connect(other.getsockname())
        handle = driver.attach(one)
        assert handle.told(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is not None
        assert handle.told() is None
        other.sendto(b"", one.getsockname())
        assert driver.run(does(handle.recv(10))) == b""
        other.sendto(b"after", one.getsockname())
        assert driver.run(does(handle.recv(10))) == b"after"
