"""SO_LINGER: close() never waits, and sent data arrives; 0 seconds reset the connection."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from pollers import Handle, option_call

from .driver import PATIENCE_S, Driver, does, tcp_pair

LINGER_S = 60


def set_linger(sock: socket.socket, seconds: int | None) -> None:
    sock.setsockopt(*option_call("linger", seconds))


def received(peer: socket.socket) -> int:
    count = 0
    while data := peer.recv(1 << 20):
        count += len(data)
    return count


def close(driver: Driver, handle: Handle) -> None:
    handle.close()


def shut_down(driver: Driver, handle: Handle) -> None:
    driver.poller.shutdown()
    driver.handles.clear()
    driver.turn = lambda timeout_s=0: 0  # type: ignore[method-assign]


@pytest.mark.parametrize("end", [close, shut_down])
@pytest.mark.parametrize("seconds", [LINGER_S, 1, None])
def test_close_waits_for_nobody(driver: Driver, end: Any, seconds: int | None) -> None:
    handle, peer = driver.half()
    with peer:
        filled = driver.fill(handle)
        set_linger(handle.sock, seconds)
        begun = time.monotonic()
        end(driver, handle)
        assert seconds != LINGER_S or time.monotonic() - begun < LINGER_S / 2
        assert received(peer) == filled


def test_who_waits_is_told_at_once(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        set_linger(handle.sock, LINGER_S)
        tasks = [driver.spawn(does(handle.recv(10))), driver.spawn(does(handle.send(b"more")))]
        begun = time.monotonic()
        handle.close()
        driver.until(lambda: all(task.done for task in tasks))
        assert time.monotonic() - begun < PATIENCE_S


def test_no_seconds_reset_the_connection(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        set_linger(handle.sock, 0)
        handle.close()
        with pytest.raises(ConnectionResetError):
            received(peer)


@pytest.mark.parametrize("seconds", [LINGER_S, 0])
def test_what_the_listener_has_is_inherited(driver: Driver, seconds: int) -> None:
    listener, address = driver.listener()
    set_linger(listener.sock, seconds)
    with socket.create_connection(address, PATIENCE_S) as client:
        accepted, _ = driver.run(does(listener.accept()))
        filled = driver.fill(accepted)
        begun = time.monotonic()
        accepted.close()
        assert time.monotonic() - begun < LINGER_S / 2
        if seconds:
            assert received(client) == filled
        else:
            with pytest.raises(ConnectionResetError):
                received(client)


def test_a_socket_that_is_given_back_keeps_what_it_has(driver: Driver) -> None:
    one, two = tcp_pair()
    set_linger(one, 3)
    handle = driver.attach(one)
    with two, handle.detach() as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) != bytes(8)
        set_linger(sock, None)
