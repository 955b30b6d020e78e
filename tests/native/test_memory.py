"""Each allocation of an operation fails once: it raises an error, nothing is lost, and the poller still works."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import pollers
from tests.contract.driver import Driver, does, tcp_pair

_testcapi = pytest.importorskip("_testcapi", reason="an interpreter without _testcapi cannot fail on demand")

NUMBERS = range(1, 40)


@contextlib.contextmanager
def failing(number: int) -> Iterator[list[BaseException]]:
    """Let the allocation of that number fail in the block. The list gets the error, if there is one."""
    errors: list[BaseException] = []
    gc.disable()
    _testcapi.set_nomemory(number, number + 1)
    try:
        yield errors
    except StopIteration:
        pass
    except (MemoryError, OSError) as error:
        _testcapi.remove_mem_hooks()
        errors.append(error)
    finally:
        _testcapi.remove_mem_hooks()
        gc.enable()


def steps_to_the_end(poller: Any, op: Any) -> Any:
    while True:
        try:
            direction = next(op)
        except StopIteration as stop:
            return stop.value
        if not direction.park("waiter"):
            while not poller.poll(5):
                pass


@pytest.mark.parametrize("waits", [False, True])
def test_what_was_received_is_not_lost(driver: Driver, waits: bool) -> None:
    handle, peer = driver.half()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handle.sock.fileno()
    with peer:
        for number in NUMBERS:
            op: Any = handle.recv(70000 if number % 2 else 7000)
            parked = waits and next(op).park("waiter") is False
            peer.send(b"x" * 700)
            if not parked:
                driver.run(does(handle.wait_readable()))
            got = b""
            with failing(number) as errors:
                if parked:
                    while not driver.poller.poll(5):
                        pass
                got = steps_to_the_end(driver.poller, op)
            if errors:
                assert isinstance(errors[0], MemoryError)
                op.close()
                driver.poller.poll(0)
                if not got and not readable(handle):
                    got = b"x" * 700  # it had been received, and next() lost it with the StopIteration
            if not got:
                got = driver.run(does(handle.recv(7000)))
            assert len(got) == 700, f"allocation {number}: {errors}"


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "size",
    [pytest.param(70000, id="of its own"), pytest.param(60000, id="the spare"), pytest.param(7000, id="a copy")],
)
def test_bytes_that_cannot_be_cut_are_delivered_all_the_same(driver: Driver, size: int, waits: bool) -> None:
    """Received data is in memory that is then made smaller. This can fail as an allocation can."""
    handle, peer = driver.half("unix")
    length = size * 2 // 3
    with peer:
        for number in NUMBERS:
            data = bytes([number]) * length
            box = [b""]

            def receives(box: list[bytes] = box) -> Any:
                box[0] = yield from handle.recv(size)

            steps = receives()
            parked = waits and next(steps).park("waiter") is False
            peer.sendall(data)
            with failing(number):
                if parked:
                    driver.poller.poll(5)
                while True:
                    next(steps).park("waiter")
            with contextlib.suppress(MemoryError, StopIteration):
                while parked and not box[0]:  # poll() itself had no memory
                    driver.poller.poll(0)
                    next(steps)
            steps.close()
            assert (box[0] or driver.run(does(handle.recv(size)))) == data, f"allocation {number}"
            assert not readable(handle)


def readable(handle: pollers.Handle) -> bool:
    try:
        return bool(handle.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def test_poll_without_memory_for_its_list_returns_it_later(driver: Driver) -> None:
    handle, peer = driver.half("unix")
    with peer:
        for number in NUMBERS:
            task = driver.spawn(does(handle.recv(100)))
            peer.send(b"%d" % number)
            finished: list[Any] = []
            with failing(number):
                finished = driver.poller.poll(5)
            finished = finished or driver.poller.poll(0)
            assert finished == [task]
            driver.step(task)
            assert task.result == b"%d" % number or isinstance(task.error, MemoryError)
            if task.error:
                driver.run(does(handle.recv(100)))


def test_sending(driver: Driver) -> None:
    handle, peer = driver.half("unix")
    with peer:
        for number in NUMBERS:
            with failing(number):
                steps_to_the_end(driver.poller, handle.send(b"x"))
                steps_to_the_end(driver.poller, handle.sendall(bytearray(10)))
                steps_to_the_end(driver.poller, handle.wait_writable())
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                peer.recv(100)
        driver.run(does(handle.sendall(b"well")))
        assert peer.recv(100)[-4:] == b"well"


def test_waiting_for_room(driver: Driver) -> None:
    handle, peer = driver.half("unix")
    with peer:
        driver.fill(handle)
        for number in NUMBERS:
            op: Any = handle.send(b"x")
            with failing(number):
                next(op).park("waiter")
            op.close()
        assert driver.poller.stats().parked == 0


def test_accepting(driver: Driver) -> None:
    listener, address = driver.listener()
    lost = 0
    for number in NUMBERS:
        accepted = None
        with socket.create_connection(address) as client:
            driver.run(does(listener.wait_readable()))
            with failing(number):
                accepted = steps_to_the_end(driver.poller, listener.accept())
            if accepted is None:
                steps: Any = iter(listener.accept())
                try:
                    next(steps)
                    steps.close()
                except StopIteration as stop:
                    accepted = stop.value
            if accepted is not None:
                accepted[0].close()
            elif driver.poller.stats().attached > 1 + lost:
                lost += 1  # the interpreter had no memory for the traceback of the StopIteration
                continue
            client.settimeout(5)
            assert client.recv(1) == b""
    assert lost <= 3


def test_attaching_and_closing() -> None:
    if "native" not in pollers.available():
        pytest.skip("no native poller")
    for number in NUMBERS:
        one, other = tcp_pair()
        poller = pollers.choose("native", checked=False)
        handle: Any = None
        with one, other:
            with failing(number):
                handle = poller.attach(one)
                op: Any = handle.recv(1)
                next(op).park("waiter")
                poller.stats()
                handle.close()
            if handle is not None:
                handle.close()
            poller.shutdown()
        with failing(number):
            pollers.choose("native", checked=False)
