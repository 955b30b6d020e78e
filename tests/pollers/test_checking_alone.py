"""What SOCKET2_CHECK=1 reports of programs that use pollers without socket2."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pollers
from pollers import Cancelled, Poller
from pollers.checked.checking import Checked

from ..interop.peers import LIMIT_S, OSThread
from .test_checking import line, place

# Without socket2.


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = pollers.choose(checked=True)
    yield poller
    poller.shutdown()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def in_another_os_thread(func: Callable[..., Any], *args: Any) -> str:
    """Make a call that must fail in another OS thread, and return the message."""
    thread = OSThread(func, *args)
    thread.start()
    with pytest.raises(RuntimeError) as caught:
        thread.outcome()
    return str(caught.value)


def test_choose_checks_when_it_is_told_to() -> None:
    for checked in (True, False):
        poller = pollers.choose(checked=checked)
        assert isinstance(poller, Checked) == checked
        assert poller.name in pollers.available()
        poller.shutdown()


def test_a_checked_operation_ends_as_a_bare_one_does(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    direction = next(receiving)
    assert direction.park("waiter") is False
    assert direction.waiter == "waiter"
    assert poller.poll(0) == []
    pair[1].send(b"hello")
    assert poller.poll(LIMIT_S) == ["waiter"]
    with pytest.raises(StopIteration) as stopped:
        next(receiving)
    assert stopped.value.value == b"hello"
    assert direction.waiter is None


def test_an_operation_that_was_parked_twice_is_told_with_its_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    direction = next(receiving)
    direction.park("first")
    with pytest.raises(RuntimeError, match="parked twice: recv on fd") as caught:
        direction.park("second")
    assert place(made_at) in str(caught.value)
    assert direction.waiter == "first"
    direction.cancel(Cancelled())
    with pytest.raises(Cancelled):
        next(receiving)


class Repeating:
    """A poller that returns every finished waiter twice."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def poll(self, *args: Any) -> list[Any]:
        finished: list[Any] = self._inner.poll(*args)
        return finished * 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_an_operation_that_finished_twice_is_told_with_its_place(pair: tuple[socket.socket, socket.socket]) -> None:
    inner: Any = Repeating(pollers.choose(checked=False))
    poller = Checked(inner)
    try:
        receiving = iter(poller.attach(pair[0]).recv(10))
        made_at = line() - 1
        next(receiving).park("waiter")
        pair[1].send(b"hello")
        with pytest.raises(RuntimeError, match="finished twice") as caught:
            poller.poll(LIMIT_S)
        assert place(made_at) in str(caught.value)
        with pytest.raises(StopIteration):
            next(receiving)
    finally:
        poller.shutdown()


def test_a_poller_used_from_another_os_thread_is_told_with_the_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    receiving = iter(handle.recv(10))
    made_at = line() - 1
    direction = next(receiving)
    assert direction.park("waiter") is False

    def poll_elsewhere() -> None:
        poller.poll(0)

    def send_elsewhere() -> None:
        next(iter(handle.send(b"hello")))

    def attach_elsewhere() -> None:
        poller.attach(pair[1])

    for func in (poll_elsewhere, send_elsewhere, attach_elsewhere):
        told = in_another_os_thread(func)
        assert "from an OS thread other than" in told
        assert f"used at {place(func.__code__.co_firstlineno + 1)} " in told
    for method, args in ((direction.park, ("other",)), (direction.cancel, (Cancelled(),))):
        assert f"(made at {place(made_at)})" in in_another_os_thread(method, *args)
    assert poller.poll(0) == []
    direction.cancel(Cancelled())
    with pytest.raises(Cancelled):
        next(receiving)


def test_a_poller_may_be_woken_from_another_os_thread(poller: Poller) -> None:
    waking = OSThread(poller.wakeup)
    waking.start()
    waking.outcome()
    assert poller.poll(LIMIT_S) == []


def test_an_operation_in_flight_at_shutdown_is_told_with_its_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    direction = next(receiving)
    direction.park("waiter")
    with pytest.warns(RuntimeWarning, match="recv made at .* was in flight when its poller was shut down") as told:
        assert poller.shutdown() == ["waiter"]
    assert [place(made_at) in str(warning.message) for warning in told] == [True]
    with pytest.raises(pollers.Closed):
        next(receiving)


def test_an_operation_that_nobody_came_back_for_is_told_at_shutdown(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    next(receiving).park("waiter")
    pair[1].send(b"hello")
    assert len(poller.poll(LIMIT_S)) == 1
    with pytest.warns(RuntimeWarning, match="nobody took its outcome") as told:
        poller.shutdown()
    assert place(made_at) in str(told[0].message)
    receiving.close()


def test_nothing_is_told_at_shutdown_when_every_operation_was_joined(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    for _ in range(2):
        receiving = iter(handle.recv(10))
        direction = next(receiving)
        direction.park("waiter")
        direction.cancel(Cancelled())
        with pytest.raises(Cancelled):
            next(receiving)
    with warnings.catch_warnings(record=True) as told:
        assert poller.shutdown() == []
        assert poller.shutdown() == []
    assert told == []


def test_an_operation_that_was_stepped_and_not_parked_is_told_by_poll(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    next(receiving)
    with pytest.warns(RuntimeWarning, match="something that is not a thread") as told:
        poller.poll(0)
    assert len(told) == 1
    assert f"recv made at {place(made_at)} was stepped at {place(made_at + 2)} by" in str(told[0].message)
    assert poller.poll(0) == []  # one report is enough
    receiving.close()


def test_an_accepted_connection_is_checked_too(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        accepting = iter(poller.attach(server).accept())
        with pytest.raises(StopIteration) as stopped:
            while not next(accepting).park("acceptor"):
                poller.poll(LIMIT_S)
        handle, address = stopped.value.value
        assert address == client.getsockname()
        receiving = iter(handle.recv(10))
        direction = next(receiving)
        direction.park("first")
        with pytest.raises(RuntimeError, match="parked twice"):
            direction.park("second")
        handle.close()
        assert poller.poll(0) == ["first"]
        with pytest.raises(pollers.Closed):
            next(receiving)


def test_an_error_thrown_into_a_checked_operation_ends_it(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    receiving = iter(handle.recv(10))
    next(receiving).park("waiter")
    with pytest.raises(ZeroDivisionError):
        receiving.throw(ZeroDivisionError)
    receiving = iter(handle.recv(10))
    direction = next(receiving)
    direction.park("waiter")
    pair[1].send(b"hello")
    assert poller.poll(LIMIT_S) == ["waiter"]
    with pytest.raises(StopIteration) as stopped:
        next(receiving)
    assert stopped.value.value == b"hello"


def test_an_operation_that_is_taken_apart_is_refused_before_it_does_anything(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    pair[1].send(b"hello")
    missing = "is unpacked or iterated over, not awaited: is a `yield from` or an `await` missing"
    with pytest.raises(TypeError, match=re.escape(f"recvfrom made at {place(line() + 1)} ") + missing):
        _data, _sender = handle.recvfrom(10)
    with pytest.raises(TypeError, match=missing):
        _first, *_ = handle.recvfrom(10)
    with pytest.raises(TypeError, match=missing):
        print(*handle.recvfrom(10))
    with pytest.raises(TypeError, match=missing):
        [*handle.recvfrom(10)]
    with pytest.raises(TypeError, match=missing):
        for _ in handle.recv(10):
            pass
    assert pair[0].recv(10) == b"hello"
