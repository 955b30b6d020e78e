"""A signal handler that raises in the midst of a poller's work: what has finished is returned by the next poll()."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ..contract import kinds
from ..contract.driver import PATIENCE_S, Driver, Task, does
from ..threads.test_raising_handlers import MECHANISM, ExactInjection, Injection, Raised

NAMES = [name for name, manner in kinds.names() if manner == "shared"]
# The simulated kqueue looks at descriptors through socket.py, as no kernel does.
POLLERS = MECHANISM - {socket.__file__}

KINDS = pytest.mark.parametrize("kind", NAMES)
SHARED = pytest.mark.parametrize("shared", [False, True])


def everywhere(kind: str, shared: bool, scene: Callable[[Driver, Injection], None]) -> None:
    """Play `scene` again and again, with a raise at each point in turn of what its injection is around."""
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
    assert at > 2 or kind in ("native", "epoll")  # where no Python code may be in between


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
    """It has finished before poll() is called, which only hands it over."""

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


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "native"])  # `ready` is the Python text's
def test_whoever_is_about_to_wait(kind: str) -> None:
    """Asked again, the direction knows whether it waits; it never waits for nobody."""

    def scene(driver: Driver, injection: Injection) -> None:
        handle, peer = driver.half()
        with peer:
            steps = does(handle.wait_readable())
            direction = next(steps)
            peer.sendall(b"data")
            if kind != "iocp":
                direction.ready = True  # as an event sets it that comes between the attempt and here
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
