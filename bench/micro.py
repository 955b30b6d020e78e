"""The program behind scenario micro: one poller, or the bare system calls, in a process of its own.

Knows the interface of pollers. It steps operations as a scheduler does; its threads are generators and
nothing else. `ready`: a receive that has its data, 1000 in a row from one socket. `park`: a receive that
finds nothing, yields and is parked. `event`: poll() and the steps that deliver, after all handles got
data. `wakeup`: wakeup() and a poll() that does not wait.

python -m bench.micro POLLER|bare HANDLES COUNT
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable, Generator
from typing import Any

import pollers
from bench.stacks.meter import Meter

RUN = 1000
SIZE = 64


def pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """Return connected TCP sockets, both ends. Pollers have optimizations for TCP that UNIX pairs do not get."""
    made = []
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        for _ in range(count):
            near = socket.create_connection(listener.getsockname())
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far, _ = listener.accept()
            far.setblocking(False)
            made.append((near, far))
    return made


class Total:
    """The CPU time of many short stretches under one name."""

    def __init__(self, meter: Meter, name: str) -> None:
        self._meter = meter
        self._name = name
        self._spent_ns = 0.0
        self._operations = 0

    def add(self, operations: int, stretch: Callable[[], object]) -> None:
        with self._meter.measuring(self._name, operations):
            stretch()
        self._spent_ns += self._meter.metrics[f"{self._name}_ns"] * operations
        self._operations += operations

    def done(self) -> None:
        self._meter.metrics[f"{self._name}_ns"] = self._spent_ns / self._operations
        del self._meter.metrics[f"{self._name}_per_s"]  # of the last stretch only


def fill(near: socket.socket, far: socket.socket) -> None:
    """Send RUN messages, and wait until the far end has them all."""
    near.sendall(b"x" * (RUN * SIZE))
    expected, buffer = RUN * SIZE, bytearray(RUN * SIZE)
    while far.recv_into(buffer, expected, socket.MSG_PEEK) < expected:
        pass


class Bare:
    """The same system calls from Python, without a poller: an edge-triggered epoll and sockets."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.sockets = {sock.fileno(): sock for sock in sockets}
        self.epoll = select.epoll()
        for fd in self.sockets:
            self.epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def receive_run(self, sock: socket.socket) -> None:
        for _ in range(RUN):
            sock.recv(SIZE)

    def park_all(self) -> None:
        for sock in self.sockets.values():
            try:
                sock.recv(SIZE)
            except BlockingIOError:
                pass

    def deliver_all(self) -> None:
        missing = len(self.sockets)
        while missing:
            for fd, _ in self.epoll.poll(None, 256):
                self.sockets[fd].recv(SIZE)
                missing -= 1

    def wake(self, times: int) -> None:
        for _ in range(times):
            self.epoll.poll(0, 256)


class Polled:
    """A poller, and threads that receive forever."""

    def __init__(self, poller: pollers.Poller, sockets: list[socket.socket]) -> None:
        self.poller = poller
        self.handles = {sock: poller.attach(sock) for sock in sockets}
        self.threads: list[Generator[Any, None, None]] = []

    def receive_run(self, sock: socket.socket) -> None:
        handle = self.handles[sock]

        def thread() -> Generator[Any, None, None]:
            for _ in range(RUN):
                yield from handle.recv(SIZE)

        self.poller.streak = 0
        for direction in thread():
            # It yields only to let others run: it has finished.
            direction.park(None)
            self.poller.streak = 0

    def receiver(self, handle: pollers.Handle) -> Generator[Any, None, None]:
        while True:
            yield from handle.recv(SIZE)
            yield None

    def park_all(self) -> None:
        for thread in self.threads:
            self.poller.streak = 0
            thread.send(None).park(thread)

    def deliver_all(self) -> None:
        missing = len(self.threads)
        while missing:
            for direction in self.poller.poll():
                self.poller.streak = 0
                direction.waiter.send(None)
                missing -= 1

    def wake(self, times: int) -> None:
        for _ in range(times):
            self.poller.wakeup()
            self.poller.poll(0)


def measure(meter: Meter, subject: Bare | Polled, ends: list[tuple[socket.socket, socket.socket]], count: int) -> None:
    """Measure everything.

    Args:
        meter: gets the figures.
        subject: what is measured.
        ends: near and far sockets. The first pair is for receives that have data; `subject` has the far ends.
        count: the number of operations of each kind.
    """
    totals = {name: Total(meter, name) for name in ("ready", "park", "event")}
    near, far = ends[0]
    for _ in range(max(1, count // RUN)):
        fill(near, far)
        totals["ready"].add(RUN, lambda: subject.receive_run(far))
    if isinstance(subject, Polled):
        subject.threads = [subject.receiver(subject.handles[far]) for _, far in ends]
    for _ in range(max(1, count // len(ends))):
        totals["park"].add(len(ends), subject.park_all)
        for near, _ in ends:
            near.send(b"x" * SIZE)
        totals["event"].add(len(ends), subject.deliver_all)
    for total in totals.values():
        total.done()
    with meter.measuring("wakeup", count):
        subject.wake(count)


def main(name: str, handles: str, count: str) -> None:
    ends = pairs(int(handles))
    far = [far for _, far in ends]
    subject = Bare(far) if name == "bare" else Polled(pollers.choose(name, checked=False), far)
    meter = Meter()
    measure(meter, subject, ends, int(count))
    meter.print_result()


if __name__ == "__main__":
    main(*sys.argv[1:])
