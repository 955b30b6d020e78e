"""A native operation behaves like a generator, and its handle survives everything that is done to it."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any

import pytest

import pollers
from pollers import Busy, Cancelled, Closed
from tests.contract.driver import Driver, does


class Waiter:
    """An object that can have weak references."""


# As a generator.


def test_nothing_happens_before_the_first_step(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        handle.send(b"never").close()
        dropped = handle.sendall(b"never, too")
        del dropped
        first, second = handle.send(b"one"), handle.send(b"two")
        driver.run(does(second))
        driver.run(does(first))
        assert peer.recv(100) == b"twoone"


def test_of_two_the_one_that_steps_first_has_the_direction(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        first, second = handle.recv(10), handle.recv(10)
        task = driver.spawn(does(second))
        with pytest.raises(Busy, match="reading this socket already: recv on fd"):
            next(iter(first))
        peer.sendall(b"x")
        assert driver.finish(task) == [b"x"]


def test_await_and_yield_from_take_it(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:

        async def main() -> bytes:
            return await handle.recv(10) + await handle.recv(10)

        task = driver.spawn(main())  # type: ignore[arg-type]
        peer.sendall(b"a")
        driver.until(lambda: driver.poller.stats().events > 0)
        peer.sendall(b"b")
        assert driver.finish(task) == [b"ab"]


def test_send_throw_and_close(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        op: Any = handle.recv(10)
        with pytest.raises(TypeError, match="not begun"):
            op.send("something")
        direction = op.send(None)
        assert direction.park("waiter") is False
        with pytest.raises(KeyError):
            op.throw(KeyError("k"))
        with pytest.raises(StopIteration) as stop:
            op.send(None)
        assert stop.value.value is None
        assert next(op, "ended") == "ended"
        with pytest.raises(ValueError, match="v"):
            op.throw(ValueError, ValueError("v"), None)
        with pytest.raises(ZeroDivisionError):
            op.throw(ZeroDivisionError)
        with pytest.raises(TypeError, match="exceptions must be"):
            op.throw("text")
        with pytest.raises(TypeError, match="traceback"):
            op.throw(KeyError, None, "text")
        op.close()
        fresh: Any = handle.recv(10)
        with pytest.raises(KeyError):
            fresh.throw(KeyError)
        assert next(fresh, "ended") == "ended"
        peer.sendall(b"well")
        assert driver.run(does(handle.recv(10))) == b"well"


def test_a_result_that_is_a_tuple_or_an_exception_is_not_taken_apart(driver: Driver) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    handle = driver.attach(sock)
    driver.run(does(handle.sendto(b"x", sock.getsockname())))
    steps = iter(handle.recvfrom(10))
    driver.run(does(handle.wait_readable()))
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == (b"x", sock.getsockname())


def test_resumed_before_it_has_finished(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        steps = iter(handle.recv(10))
        assert next(steps).park("waiter") is False
        with pytest.raises(RuntimeError, match="before it has finished: recv on fd"):
            next(steps)
        peer.sendall(b"free")
        assert driver.run(does(handle.recv(10))) == b"free"


def test_dropped_while_it_waits(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        steps = iter(handle.recv(10))
        assert next(steps).park("waiter") is False
        del steps
        peer.sendall(b"free")
        assert driver.poller.poll(0.05) == []
        assert driver.run(does(handle.recv(10))) == b"free"


def test_the_owner_lives_as_long_as_the_operation(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        owner = Waiter()
        alive = weakref.ref(owner)
        task = driver.spawn(does(handle.recv(10, owner)))
        del owner
        gc.collect()
        assert alive() is not None
        peer.sendall(b"x")
        driver.finish(task)
        assert alive() is None


# The waiter and the directions.


def test_the_waiter_is_let_go_with_the_wait(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        waiter = Waiter()
        alive = weakref.ref(waiter)
        steps = iter(handle.recv(10))
        direction = next(steps)
        assert direction is handle.reading
        direction.park(waiter)
        assert direction.waiter is waiter
        del waiter
        peer.sendall(b"x")
        finished: list[Any] = []
        while not finished:
            finished = driver.poller.poll(5)
        assert finished.pop() is alive()
        with pytest.raises(StopIteration):
            next(steps)
        assert direction.waiter is None
        assert alive() is None


def test_what_was_dropped_after_it_was_closed_is_not_returned(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        steps = iter(handle.recv(10))
        next(steps).park("waiter")
        handle.close()
        steps.close()
        assert driver.poller.poll(0) == []


def test_the_writing_direction_is_one_while_somebody_looks(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        driver.poller.streak = 0
        steps = iter(handle.send(b"x"))
        direction = next(steps)
        assert direction is handle.writing
        assert direction.park("waiter") is False
        assert direction.describe() == f"send on fd {handle.fileno()}"
        assert "send" in repr(direction)
        assert direction.cancel(Cancelled("c")) is True
        assert isinstance(direction.error, Cancelled)
        with pytest.raises(Cancelled):
            next(steps)
        assert direction.error is None
        with pytest.raises(RuntimeError, match="nothing to wait for: writing on fd"):
            direction.park("waiter")


def test_cancel_wants_an_exception(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        with pytest.raises(TypeError, match="takes an exception"):
            task.waiting_on.cancel("reason")
        assert driver.cancel(task)
        driver.turn()


# The standard library's socket.


def test_the_socket_object_of_a_connection_is_made_when_asked_for(driver: Driver) -> None:
    listener, address = driver.listener()
    with socket.create_connection(address) as client:
        handle, _ = driver.run(does(listener.accept()))
        sock = handle.sock
        assert sock is handle.sock
        assert (sock.fileno(), sock.family, sock.type) == (handle.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        assert not sock.getblocking()
        number = id(sock)
        task = driver.spawn(does(handle.recv(10)))
        assert id(handle.sock) == number, "somebody holds it"
        del sock
        assert driver.cancel(task)
        driver.turn()
        task = driver.spawn(does(handle.recv(10)))
        assert not any(isinstance(found, socket.socket) for found in gc.get_referents(handle))
        client.sendall(b"open still")
        assert driver.finish(task) == [b"open still"]
        assert handle.sock.getpeername() == client.getsockname()
        handle.close()
        assert handle.sock.fileno() == -1


def test_a_closed_handle_makes_no_socket_object(driver: Driver) -> None:
    listener, address = driver.listener()
    with socket.create_connection(address):
        handle, _ = driver.run(does(listener.accept()))
        handle.close()
        with pytest.raises(Closed):
            handle.sock.fileno()


def test_detach_gives_the_descriptor_away(driver: Driver) -> None:
    listener, address = driver.listener()
    with socket.create_connection(address) as client:
        handle, _ = driver.run(does(listener.accept()))
        number = handle.fileno()
        sock = handle.detach()
        del handle
        gc.collect()
        assert sock.fileno() == number
        client.sendall(b"x")
        sock.settimeout(5)
        assert sock.recv(1) == b"x"
        sock.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_poller_that_is_garbage_closes_everything() -> None:
    if "native" not in pollers.available():
        pytest.skip("no native poller")
    driver = Driver(pollers.choose("native", checked=False), "native")
    listener, address = driver.listener()
    with socket.create_connection(address) as client:
        handle, _ = driver.run(does(listener.accept()))
        waiter = Waiter()
        waiter.steps = iter(handle.recv(1))  # type: ignore[attr-defined]
        next(waiter.steps).park(waiter)  # type: ignore[attr-defined]
        alive = weakref.ref(driver.poller), weakref.ref(waiter)
        del driver, listener, handle, waiter
        gc.collect()
        assert [ref() for ref in alive] == [None, None]
        client.settimeout(5)
        assert client.recv(1) == b""


def test_an_unclosed_connection_is_told(recwarn: pytest.WarningsRecorder) -> None:
    if "native" not in pollers.available():
        pytest.skip("no native poller")
    driver = Driver(pollers.choose("native", checked=False), "native")
    listener, address = driver.listener()
    with socket.create_connection(address):
        driver.run(does(listener.accept()))
        listener.close()
        del driver, listener
        gc.collect()
    assert [str(warning.message) for warning in recwarn if "unclosed socket: <reading" in str(warning.message)]
    recwarn.clear()
