"""Messages with control data: an operation waits, and then one attempt takes a whole message or nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from typing import Any

import pytest

import pollers
from pollers import Handle

from .driver import Driver, does

pytestmark = pytest.mark.skipif(not hasattr(socket, "SCM_RIGHTS"), reason="this system passes no descriptors")


def receive(handle: Handle, n: int = 100, most: int = 0) -> Generator[Any, None, Any]:
    while True:
        yield from handle.wait_readable()
        try:
            return pollers.receive_message(handle.sock, n, 256, most)
        except BlockingIOError:
            pass


def pair(driver: Driver, kind: int) -> tuple[Handle, Handle]:
    one, other = driver.poller.socketpair(socket.AF_UNIX, kind, 0)
    return driver.attach(one), driver.attach(other)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_message_and_its_descriptors_arrive(driver: Driver, kind: int) -> None:
    if driver.kind == "simulated":
        pytest.skip("a simulated kernel has sockets only; tests/simulated passes those")
    one, other = pair(driver, kind)
    waiting = driver.spawn(receive(other, most=1))
    assert not waiting.done
    reader, writer = os.pipe()
    driver.run(does(one.wait_writable()))
    control = pollers.control_of(socket.AF_UNIX, fds=[writer])
    assert pollers.send_message(one.sock, [b"a ", b"pipe"], control) == 6
    os.close(writer)
    data, rest, fds, flags, _ = driver.finish(waiting)[0]
    assert (data, rest, len(fds), flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)) == (b"a pipe", [], 1, 0)
    os.write(fds[0], b"works")
    pollers.close_descriptors(fds)
    assert os.read(reader, 100) == b"works"
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_cancel_takes_nothing(driver: Driver) -> None:
    one, other = pair(driver, socket.SOCK_DGRAM)
    waiting = driver.spawn(receive(other))
    driver.give_up(waiting)
    with pytest.raises(BlockingIOError):
        pollers.receive_message(other.sock, 100, 0, 0)
    driver.run(does(one.send(b"still here")))
    assert driver.run(receive(other))[0] == b"still here"


def test_it_goes_together_with_other_receives(driver: Driver) -> None:
    one, other = pair(driver, socket.SOCK_STREAM)
    for n in range(10):
        waiting = driver.spawn(receive(other, 1) if n % 2 else does(other.recv(1)))
        driver.run(does(one.sendall(b"xy")))
        result = driver.finish(waiting)[0]
        assert (result[0] if n % 2 else result) == b"x"
        assert (driver.run(does(other.recv(10))) if n % 2 else driver.run(receive(other))[0]) == b"y"
