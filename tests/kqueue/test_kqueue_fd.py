"""Schedulers over kqueue: the descriptor, and several OS threads that share one scheduler."""

from __future__ import annotations

import threading

import pytest

import pollers
import socket2
from pollers.readiness.kqueue import Kqueue
from socket2.threads.scheduler import current_scheduler

from .asked import Kernel


@pytest.fixture(autouse=True)
def over_kqueue(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pollers._factories, "kqueue", lambda: Kqueue(kernel.impl))
    monkeypatch.setenv("SOCKET2_POLLER", "kqueue")


def test_the_descriptor_is_the_pollers() -> None:
    assert socket2.kqueue_fd() == current_scheduler().poller.fileno()
    with pytest.raises(OSError, match="not 'epoll'"):
        socket2.epoll_fd()


def test_joining() -> None:
    fd = socket2.kqueue_fd()
    seen: list[object] = []

    def join() -> None:
        with pytest.raises(ValueError, match="belongs to no kqueue"):
            socket2.kqueue_fd(fd + 1000)
        seen.append(socket2.kqueue_fd(fd))
        seen.append(current_scheduler())

    other = threading.Thread(target=join)
    other.start()
    other.join()
    assert seen == [fd, current_scheduler()]


@pytest.mark.parametrize("count", [1, 3])
def test_os_threads_serve_together(count: int) -> None:
    listener = socket2.tcp()
    listener.listen("127.0.0.1", 0)
    connections, rounds = 20, 20
    sums: list[int] = []

    async def echo(conn: socket2.TCP) -> None:
        with conn:
            while data := await conn.recv(100):
                await conn.sendall(data)

    async def serve() -> None:
        with listener:
            for _ in range(connections):
                socket2.newthread(echo, await listener.accept())

    async def client(number: int) -> None:
        with socket2.tcp() as conn:
            await conn.connect(*listener.getsockname())
            total = 0
            for round_ in range(rounds):
                await conn.sendall(b"%d" % (number * round_))
                total += int(await conn.recv(100))
            sums.append(total)

    socket2.newthread(serve)
    for number in range(connections):
        socket2.newthread(client, number)
    assert socket2.serve_threads(count)
    assert sorted(sums) == [number * sum(range(rounds)) for number in range(connections)]
