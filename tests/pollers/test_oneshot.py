"""Operations that make their generator only when they are awaited, or need none, behave like `Once`."""

from __future__ import annotations

import gc
import select
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pollers import STREAK_MAX, Cancelled, Closed, bytes_sent, lock
from pollers.readiness.epoll import Epoll
from pollers.readiness.select import Select

from ..contract.driver import Driver, does

KINDS = [Select, *([Epoll] if hasattr(select, "epoll") else [])]
MAKE: dict[str, Callable[[Any], Any]] = {
    "recv": lambda handle: handle.recv(10),
    "wait_writable": lambda handle: handle.wait_writable(),
    "sendall": lambda handle: handle.sendall(b"hello"),
}
every = pytest.mark.parametrize("name", MAKE)


class Owner:
    """An object that can have weak references."""


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind.name))
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver = Driver(request.param(), request.param.name)
    yield driver
    driver.close()


@every
def test_it_says_how_far_it_is(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        peer.sendall(b"data")
        op = MAKE[name](handle)
        assert repr(op) == f"<operation {name}, not begun>"
        driver.run(does(op))
        assert repr(op) == f"<operation {name}, ended>"


def test_one_that_waits_says_so(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        received = handle.recv(10)
        receiver = driver.spawn(does(received))
        assert repr(received) == "<operation recv, awaited>"
        driver.fill(handle)
        sent = handle.sendall(b"more")
        sender = driver.spawn(does(sent))
        assert repr(sent) == "<operation sendall, awaited>"
        with pytest.raises(RuntimeError, match="being awaited already"):
            driver.run(does(sent))
        for task, op, what in ((receiver, received, "recv"), (sender, sent, "sendall")):
            driver.give_up(task)
            assert isinstance(task.error, Cancelled)
            assert repr(op) == f"<operation {what}, ended>"


@every
def test_one_that_is_closed_before_its_first_step_does_nothing(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        peer.sendall(b"data")
        op = MAKE[name](handle)
        op.close()
        op.close()
        assert repr(op) == f"<operation {name}, ended>"
        with pytest.raises(RuntimeError, match="has been awaited already"):
            driver.run(does(op))
        assert driver.run(does(handle.recv(10))) == b"data"
        driver.run(does(handle.sendall(b"all")))
        assert peer.recv(10) == b"all"


@every
def test_it_keeps_its_owner_until_it_is_dropped(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        owner = Owner()
        alive = weakref.ref(owner)
        args: dict[str, tuple[Any, ...]] = {"recv": (10,), "sendall": (b"hello",)}
        op = getattr(handle, name)(*args.get(name, ()), owner)
        del owner
        gc.collect()
        assert alive() is not None
        del op
        assert alive() is None


@every
def test_it_keeps_its_owner_while_it_waits(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        owner = Owner()
        alive = weakref.ref(owner)
        if name != "recv":
            driver.fill(handle)
        args: dict[str, tuple[Any, ...]] = {"recv": (10,), "sendall": (b"hello",)}
        task = driver.spawn(does(getattr(handle, name)(*args.get(name, ()), owner)))
        del owner
        gc.collect()
        assert alive() is not None
        driver.give_up(task)
        task.error = None
        assert alive() is None


@every
def test_what_ends_it_before_it_has_begun(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        op = MAKE[name](handle)
        handle.close()
        with pytest.raises(Closed) as caught:
            driver.run(does(op))
        assert bytes_sent(caught.value) == 0
        assert repr(op) == f"<operation {name}, ended>"


@every
def test_after_a_streak_others_run_first(driver: Driver, name: str) -> None:
    handle, peer = driver.half()
    with peer:
        peer.sendall(b"data")
        steps = does(MAKE[name](handle))
        driver.poller.streak = STREAK_MAX
        direction = next(steps)
        assert not direction.cancel(Cancelled())  # it is resumed anyway
        with pytest.raises(Cancelled):
            next(steps)
        assert driver.run(does(handle.recv(10))) == b"data"  # nothing was taken
        driver.run(does(handle.sendall(b"all")))
        assert peer.recv(10) == b"all"  # nothing was sent


class Watched:
    """A socket that notes whether the lock was held when it was used."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.locked: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("recv", "send"):
            self.locked.append(lock._is_owned())  # type: ignore[attr-defined]
        return getattr(self._sock, name)


@pytest.mark.parametrize("ready", [False, True])
def test_one_that_was_made_before_the_poller_is_shared_takes_the_lock(driver: Driver, ready: bool) -> None:
    handle: Any
    handle, peer = driver.half()
    with peer:
        if ready:
            peer.sendall(b"hello")
        ops = [handle.recv(10), handle.sendall(b"1"), handle.sendall(bytearray(b"2")), handle.send(b"3")]
        driver.poller.share()
        sock = handle.sock
        handle.sock = watched = Watched(sock)
        tasks = [driver.spawn(does(op)) for op in ops]
        if not ready:
            peer.sendall(b"hello")
        assert driver.finish(*tasks) == [b"hello", None, None, 1]
        for op in ops:
            with pytest.raises(RuntimeError, match="has been awaited already"):
                driver.run(does(op))
        handle.sock = sock
        assert len(watched.locked) >= 4
        assert all(watched.locked)
        assert peer.recv(10) == b"123"
