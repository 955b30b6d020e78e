"""The smallest driver of a poller: generators, a ready list, no timers. With it the contract needs no socket2."""

from __future__ import annotations

import atexit
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from pollers import STREAK_MAX, Cancelled, Handle, Poller

T = TypeVar("T")
Steps = Generator[Any, None, T]

PATIENCE_S = 20.0


class Task:
    """A running generator: what it waits on, and at the end its result or error."""

    def __init__(self, steps: Steps[Any]) -> None:
        self.steps = steps
        self.waiting_on: Any = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.resumptions = 0

    def outcome(self) -> Any:
        assert self.done, f"still waiting on {self.waiting_on!r}"
        if self.error is not None:
            raise self.error
        return self.result


class Driver:
    """Steps tasks over one poller."""

    def __init__(self, poller: Poller, kind: str) -> None:
        self.poller = poller
        self.kind = kind  # its name in kinds.make()
        self.ready: list[Task] = []
        self.handles: list[Handle] = []
        self.streak = 0  # STREAK_MAX: the next operation of each task yields

    def spawn(self, steps: Steps[Any]) -> Task:
        task = Task(steps)
        self.step(task)
        return task

    def step(self, task: Task) -> None:
        assert not task.done, "resumed after its end"
        task.waiting_on = None
        task.resumptions += 1
        self.poller.streak = self.streak
        try:
            direction = task.steps.send(None)
        except StopIteration as stop:
            task.done, task.result = True, stop.value
        except (OSError, ValueError, TypeError, MemoryError, Cancelled, RuntimeError) as error:
            task.done, task.error = True, error
        else:
            if direction.park(task):
                self.ready.append(task)
            task.waiting_on = direction

    def cancel(self, task: Task, error: BaseException | None = None) -> bool:
        """Cancel as a scheduler does: if the direction returns True, resume the task here."""
        ended: bool = task.waiting_on.cancel(error or Cancelled("by the test"))
        if ended:
            self.ready.append(task)
        return ended

    def give_up(self, task: Task) -> None:
        """Cancel the task until it has ended in some way. As under a scheduler, its operations yield first."""
        self.streak = STREAK_MAX
        while not task.done:
            if task.waiting_on is not None:
                self.cancel(task)
            self.turn(0.1)
        self.streak = self.poller.streak = 0

    def fill(self, handle: Handle) -> int:
        """Send until the kernel takes no more. Return how many bytes it took."""
        sent = 0
        block = bytes(1 << 16)
        while True:
            task = self.spawn(does(handle.send(block)))
            self.give_up(task)
            if isinstance(task.error, Cancelled):
                return sent
            sent += task.outcome()

    def turn(self, timeout_s: float = 0) -> int:
        """Poll once, and step every task that is ready. Return how many tasks were stepped."""
        ready, self.ready = self.ready, []
        ready += self.poller.poll(0 if ready else timeout_s)
        for task in ready:
            self.step(task)
        return len(ready)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, "nothing came of it"
            self.turn(0.1)

    def finish(self, *tasks: Task) -> list[Any]:
        """Run until these tasks are done. Return their results, or raise the first error."""
        self.until(lambda: all(task.done for task in tasks))
        return [task.outcome() for task in tasks]

    def run(self, steps: Steps[T]) -> T:
        result: T = self.finish(self.spawn(steps))[0]
        return result

    # Sockets that are closed at the end of the test.

    def attach(self, sock: socket.socket) -> Handle:
        handle = self.poller.attach(sock)
        self.handles.append(handle)
        return handle

    def pair(self, family: str = "inet") -> tuple[Handle, Handle]:
        """Two connected stream handles."""
        if family == "unix":
            one, other = socket.socketpair()
        else:
            one, other = tcp_pair()
        return self.attach(one), self.attach(other)

    def half(self, family: str = "inet") -> tuple[Handle, socket.socket]:
        """A handle, and its peer as a blocking socket of the standard library."""
        one, other = socket.socketpair() if family == "unix" else tcp_pair()
        other.settimeout(PATIENCE_S)
        return self.attach(one), other

    def listener(self, backlog: int = 128) -> tuple[Handle, tuple[str, int]]:
        sock = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        return self.attach(sock), sock.getsockname()

    def close(self) -> None:
        for handle in self.handles:
            handle.close()
        while self.turn(0):
            pass
        self.poller.shutdown()


# A bind to any free port is slow after thousands of connections, so all pairs of a process share one listener. There
# is a second one if simulated sockets stand in for the kernel's.
_LISTENERS: dict[object, socket.socket] = {}
_PAIRING = threading.Lock()


def listener() -> socket.socket:
    """Return the listener of all pairs."""
    if socket.socket not in _LISTENERS:
        made = _LISTENERS[socket.socket] = socket.create_server(("127.0.0.1", 0))
        atexit.register(made.close)
    return _LISTENERS[socket.socket]


listener()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with _PAIRING:
        one = socket.create_connection(listener().getsockname())
        other, address = listener().accept()
        assert address == one.getsockname()
    return one, other


def does(operation: Any) -> Steps[Any]:
    """A task that awaits one operation."""
    return (yield from operation)
