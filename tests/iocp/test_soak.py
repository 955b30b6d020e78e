"""Many connections and many cancels: no byte is lost, and no handle is left."""

from __future__ import annotations

import ctypes
import gc
import socket
import threading
from typing import Any

import pytest

import pollers
import socket2
from pollers import Cancelled
from tests.contract.driver import Driver, does

CONNECTIONS = 2000
ECHOES = 10
RACES = 10_000


def handles() -> int:
    """Return how many handles this process has open."""
    count = ctypes.c_ulong()
    kernel32: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
    process = ctypes.c_void_p(kernel32.GetCurrentProcess())
    assert kernel32.GetProcessHandleCount(process, ctypes.byref(count))
    return count.value


def echo_them_all() -> None:
    def echo(conn: socket2.TCP) -> Any:
        with conn:
            while data := (yield from conn.recv(100)):
                yield from conn.sendall(data)

    def server(listener: socket2.TCP) -> Any:
        while True:
            socket2.newthread(echo, (yield from listener.accept()))

    def client(number: int, address: Any) -> Any:
        with socket2.tcp() as conn:
            yield from conn.connect(*address)
            for round_ in range(ECHOES):
                said = b"%d of %d" % (round_, number)
                yield from conn.sendall(said)
                heard = b""
                while len(heard) < len(said):
                    heard += yield from conn.recv(100)
                assert heard == said

    def main() -> Any:
        with socket2.tcp() as listener:
            listener.listen("127.0.0.1", 0)
            serving = socket2.newthread(server, listener)
            clients = [socket2.newthread(client, number, listener.getsockname()) for number in range(CONNECTIONS)]
            for thread in clients:
                yield from thread.join()
            serving.cancel()
            with pytest.raises(Cancelled):
                yield from serving.join()

    socket2.run(main)
    socket2.start(1)


def test_2000_connections_of_10_echoes() -> None:
    socket2.run(lambda: None)
    gc.collect()
    before = handles()
    echo_them_all()
    gc.collect()
    assert handles() - before < 50


def test_10_000_cancels_against_data(driver: Driver) -> None:
    handle, peer = driver.half()
    driver.spawn(does(handle.wait_readable())).steps.close()
    gc.collect()
    before = handles()
    produced = b"".join(b"%07d\n" % number for number in range(RACES))

    def produce() -> None:
        for at in range(0, len(produced), 8):
            peer.sendall(produced[at : at + 8])

    producer = threading.Thread(target=produce)
    producer.start()
    got = bytearray()
    races = 0
    while races < RACES or len(got) < len(produced):
        races += 1
        task = driver.spawn(does(handle.recv(8)))
        if not task.done:
            driver.turn(0)
        if not task.done and races <= RACES:
            driver.give_up(task)
        driver.until(lambda task=task: task.done)  # type: ignore[misc]
        if not isinstance(task.error, Cancelled):
            got += task.outcome()
    producer.join()
    peer.close()
    assert bytes(got) == produced
    assert handles() - before < 10


def test_a_poller_leaves_no_handle() -> None:
    def once() -> None:
        driver = Driver(pollers.choose("iocp", checked=False), "iocp")
        listener, address = driver.listener()
        task = driver.spawn(does(listener.accept()))
        with socket.create_connection(address):
            driver.finish(task)[0][0].close()
        driver.close()

    once()
    gc.collect()
    before = handles()
    for _ in range(50):
        once()
    gc.collect()
    assert handles() - before < 10
