"""A signal handler raises in the middle of a poller's work: the next poll() returns every finished waiter."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ..contract import kinds
from ..contract.driver import PATIENCE_S, Driver, Task, does
from ..injection import ExactInjection, Injection, Raised
from ..threads.test_raising_handlers import MECHANISM

NAMES = [name for name, manner in kinds.names() if manner == "shared"]
# The simulated kqueue looks at descriptors through socket.py, which no kernel does.
POLLERS = MECHANISM - {socket.__file__}

KINDS = pytest.mark.parametrize("kind", NAMES)
SHARED = pytest.mark.parametrize("shared", [False, True])


def everywhere(kind: str, shared: bool, scene: Callable[[Driver, Injection], None]) -> None:
    """Run `scene` again and again, and raise at each point of its injected code in turn."""
    at, where = 0, "somewhere"
    while where:
        at += 1
        driver = Driver(kinds.make(kind), kind)
        if shared:
            driver.poller.share()
        injection = ExactInjection(at, POLLERS if kind.startswith("kqueue") else MECHANISM)
        try:
            scene(driver, injection)
        except (AssertionError, RuntimeError) as error:
            raise AssertionError(f"raised in {injection.where}") from error
        finally:
            driver.close()
        where = injection.where
    assert at > 2 or kind in ("native", "epoll")  # no Python code may run in between


def polled(driver: Driver, injection: Injection, *waiters: Task) -> None:
    returned: list[Any] = []
    with suppress(Raised), injection:
        returned = driver.poller.poll(PATIENCE_S)
    while len(returned) < len(waiters):
        returned += driver.poller.poll(PATIENCE_S)
    assert sorted(map(id, returned)) == sorted(map(id, waiters))
    assert driver.poller.poll(0) == []
    for task in returned:
        driver.step(task)


@KINDS
@SHARED
def test_what_is_closed_while_it_waits(kind: str, shared: bool) -> None:
    """The operation has finished before poll() is called, which only returns its waiter."""

    def scene(driver: Driver, injection: Injection) -> None:
        pairs = [driver.half() for _ in range(3)]
        tasks = [driver.spawn(does(handle.recv(10))) for handle, _ in pairs]
        for handle, peer in pairs:
            handle.close()
            peer.close()
        polled(driver, injection, *tasks)

    everywhere(kind, shared, scene)


@KINDS
@SHARED
def test_what_an_event_ends(kind: str, shared: bool) -> None:
    def scene(driver: Driver, injection: Injection) -> None:
        handle, peer = driver.half()
        with peer:
            task = driver.spawn(does(handle.wait_readable()))
            peer.sendall(b"data")
            polled(driver, injection, task)

    everywhere(kind, shared, scene)


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "native"])  # only the Python version has `ready`
def test_whoever_is_about_to_wait(kind: str) -> None:
    """A second park() knows whether the operation waits; it never waits without a waiter."""

    def scene(driver: Driver, injection: Injection) -> None:
        handle, peer = driver.half()
        with peer:
            steps = does(handle.wait_readable())
            direction = next(steps)
            peer.sendall(b"data")
            if kind != "iocp":
                direction.ready = True  # as if an event had come since the attempt
            try:
                with injection:
                    finished = direction.park("waiter")
            except Raised:
                finished = direction.park("waiter")
            if not finished:
                assert driver.poller.poll(PATIENCE_S) == ["waiter"]
            with pytest.raises(StopIteration):
                next(steps)

    everywhere(kind, True, scene)
