"""The account of a random program: threads that began and ended, operations made, and failures."""

from __future__ import annotations

import threading
import types
from collections import Counter
from collections.abc import Generator
from typing import Any

import socket2

Steps = Generator[Any, Any, Any]


class Ledger:
    """The account. All OS threads write to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self.failures: list[str] = []
        self.operations = 0
        self.steps: Counter[int] = Counter()  # by OS thread

    def count(self, operations: int) -> None:
        with self._lock:
            self.operations += operations

    def fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)

    def newthread(self, name: str, steps: Steps) -> socket2.Thread[object]:
        """Start a watched thread."""
        with self._lock:
            self._begun[name] += 1
        return socket2.newthread(self._watched(name, steps), name=name)

    @types.coroutine
    def _watched(self, name: str, steps: Steps) -> Steps:
        """Make the same steps, one at a time, to a single end."""
        turn = threading.Lock()
        if not hasattr(steps, "send"):
            steps = steps.__iter__()  # a checked operation is not an iterator, and a coroutine is not iterable
        resume, argument = steps.send, None
        while True:
            if not turn.acquire(blocking=False):
                self.fail(f"{name} runs in two OS threads at a time")
            self.steps[threading.get_ident()] += 1
            try:
                waits_for = resume(argument)
            except BaseException as error:
                with self._lock:
                    self._ended[name] += 1
                if isinstance(error, StopIteration):
                    return error.value
                raise
            finally:
                del argument
                turn.release()
            try:
                argument = yield waits_for
                resume = steps.send
            except GeneratorExit:
                self.fail(f"{name} was dropped while it waited for {waits_for!r}")
                raise
            except BaseException as error:
                resume, argument = steps.throw, error

    def close(self) -> None:
        """Check at the end that every thread has ended exactly once."""
        for name in self._begun | self._ended:
            if self._begun[name] != self._ended[name]:
                self.fail(f"{name} began {self._begun[name]} times and ended {self._ended[name]} times")
