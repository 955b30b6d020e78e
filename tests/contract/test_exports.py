"""When an operation has ended in any way, its buffer is free again, even while the error still exists."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pollers import Busy, Cancelled, Closed, Handle

from .driver import Driver, Task, does
from .test_reset import reset

SIZE = 1 << 24  # more than two sockets can hold

Start = Callable[[Handle, bytearray], Any]
SENDS: dict[str, Start] = {
    "send": lambda handle, data: handle.send(data),
    "sendall": lambda handle, data: handle.sendall(data),
}
RECEIVES: dict[str, Start] = {
    "recv_into": lambda handle, data: handle.recv_into(data),
    "recvfrom_into": lambda handle, data: handle.recvfrom_into(data),
}
STARTS = SENDS | RECEIVES


def is_free(data: bytearray) -> None:
    data.append(0)
    del data[:10]


@pytest.fixture(params=STARTS)
def started(driver: Driver, request: pytest.FixtureRequest) -> Any:
    """Return a handle, its peer, a task that waits, and its buffer."""
    handle, peer = driver.half()
    data = bytearray(SIZE)
    if request.param == "send":
        driver.fill(handle)
    task = driver.spawn(does(STARTS[request.param](handle, data)))
    with peer:
        yield handle, peer, task, data
    data.clear()  # the tracebacks of errors keep it alive for long


@pytest.mark.parametrize("error", [Cancelled("by the test"), TimeoutError("by the test")], ids=["cancel", "timeout"])
def test_given_up(driver: Driver, started: Any, error: BaseException) -> None:
    _, _, task, data = started
    driver.turn(0.01)
    while not task.done:
        if task.waiting_on is not None:
            driver.cancel(task, error)
        driver.turn(0.1)
    assert task.error is error
    is_free(data)


@pytest.mark.parametrize("end", ["close", "detach"])
def test_closed(driver: Driver, started: Any, end: str) -> None:
    handle, _peer, task, data = started
    if end == "close" or driver.poller.name == "iocp":
        handle.close()
    else:
        handle.detach().close()
    driver.until(lambda: task.done)
    assert isinstance(task.error, Closed)
    is_free(data)


def test_reset(driver: Driver, started: Any) -> None:
    _handle, peer, task, data = started
    reset(peer)
    driver.until(lambda: task.done)
    assert isinstance(task.error, ConnectionResetError)
    is_free(data)


def test_thrown_in(driver: Driver, started: Any) -> None:
    _, _, task, data = started
    error = ValueError("thrown in")
    with pytest.raises(ValueError, match="thrown in"):
        task.steps.throw(error)
    is_free(data)


def test_dropped(driver: Driver, started: Any) -> None:
    _, _, task, data = started
    task.steps.close()
    is_free(data)


def test_shut_down(driver: Driver, started: Any, recwarn: pytest.WarningsRecorder) -> None:
    _, _, task, data = started
    for ended in driver.poller.shutdown():
        driver.step(ended)
    assert isinstance(task.error, Closed)
    is_free(data)
    driver.handles.clear()
    driver.turn = lambda timeout_s=0: 0  # type: ignore[method-assign]
    recwarn.clear()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_done(driver: Driver, start: Start) -> None:
    handle, peer = driver.half()
    data = bytearray(SIZE)
    with peer:
        task = driver.spawn(does(start(handle, data)))
        if start in RECEIVES.values():
            peer.sendall(b"data")
        peer.setblocking(False)
        while not task.done:
            try:
                peer.recv(1 << 20)
            except BlockingIOError:
                driver.turn(0.01)
        task.outcome()
        is_free(data)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_refused(driver: Driver, start: Start) -> None:
    handle, peer = driver.half()
    data = bytearray(SIZE)
    with peer:
        driver.fill(handle)
        waiting: list[Task] = [driver.spawn(does(handle.recv(1))), driver.spawn(does(handle.send(b"x")))]
        busy = driver.spawn(does(start(handle, data)))
        assert isinstance(busy.error, Busy)
        is_free(data)
        handle.close()
        closed = driver.spawn(does(start(handle, data)))
        assert isinstance(closed.error, Closed)
        is_free(data)
        driver.until(lambda: all(task.done for task in waiting))


def test_datagrams(driver: Driver) -> None:
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (one, other):
        sock.bind(("127.0.0.1", 0))
    handle = driver.attach(one)
    with other:
        data = bytearray(100)
        driver.run(does(handle.sendto(data, other.getsockname())))
        is_free(data)
        long = bytearray(1 << 20)
        task = driver.spawn(does(handle.sendto(long, other.getsockname())))
        assert isinstance(task.error, OSError)
        is_free(long)
        task = driver.spawn(does(handle.recvfrom_into(data)))
        driver.give_up(task)
        is_free(data)
        other.sendto(b"datagram", one.getsockname())
        driver.run(does(handle.recvfrom_into(data)))
        is_free(data)
