"""A native operation and its handle survive foreign code during an attempt, and the end of their poller."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from pollers import Busy, Cancelled, Closed
from tests.contract.driver import Driver, Steps, does

from .test_operations import Waiter

# Foreign code during an attempt.


class Evil(socket.socket):
    """A socket whose connect_ex(), which a native connect calls, does something first."""

    __slots__ = ("act",)
    act: Callable[[], None]

    def connect_ex(self, address: Any) -> int:
        self.act()
        return super().connect_ex(address)


def evil(driver: Driver, act: Callable[[], None]) -> Any:
    sock = Evil()
    sock.act = act
    return driver.attach(sock)


def test_closed_in_the_middle_of_the_first_attempt(driver: Driver) -> None:
    """The descriptor stays until the attempt is over. Otherwise it could continue with a new socket of that number."""
    _, address = driver.listener()
    found: list[bool] = []

    def act() -> None:
        fd = handle.fileno()
        handle.close()
        with socket.socket() as successor:
            found.append(successor.fileno() != fd and handle.fileno() == -1)

    handle = evil(driver, act)
    fd = handle.fileno()
    with pytest.raises(Closed):
        driver.run(does(handle.connect(address)))
    assert found == [True]
    with socket.socket() as successor:
        assert successor.fileno() <= fd


def test_ended_or_stepped_in_the_middle_of_the_first_attempt(driver: Driver) -> None:
    _, address = driver.listener()
    seen: list[bool] = []

    def act() -> None:
        handle.sock.act = lambda: None
        for meddle in (op.close, lambda: next(op), lambda: op.throw(KeyError)):
            with pytest.raises(ValueError, match="already executing"):
                meddle()
        with pytest.raises(Busy):
            next(iter(handle.wait_writable()))
        seen.append(handle.writing.cancel(Cancelled()))

    handle = evil(driver, act)
    op = handle.connect(address)
    driver.run(does(op))
    assert seen == [False]


@pytest.mark.parametrize("how", ["close", "throw"])
def test_dropped_in_the_middle_of_a_later_attempt(driver: Driver, how: str) -> None:
    """Garbage collection may end a generator during an attempt: its waiter is not resumed, and all else continues."""
    dropped: list[bool] = []

    def act() -> None:
        handle.sock.act = lambda: None
        with pytest.raises(ValueError, match="already executing"):
            next(op)
        if how == "close":
            op.close()
        else:
            with pytest.raises(KeyError):
                op.throw(KeyError)
        dropped.append(True)

    handle, task, listener, fillers = waiting_connect(driver, lambda: None)
    with listener:
        handle.writing.cancel(Cancelled())
        driver.step(task)
        op: Any = handle.connect(listener.getsockname())
        waiter = Waiter()
        direction = next(op)
        assert direction.park(waiter) is False
        handle.sock.act = act
        while not dropped:
            listener.accept()[0].close()
            assert waiter not in driver.poller.poll(0.05)
        assert handle.writing.waiter is None
        with pytest.raises(RuntimeError, match="has been awaited already"):
            iter(op)
        assert driver.poller.stats().parked == 0
        handle.close()
    for filler in fillers:
        filler.close()


def waiting_connect(driver: Driver, act: Callable[[], None]) -> tuple[Any, Any, socket.socket, list[socket.socket]]:
    """Return a connect that waits for room in a queue, and calls a function when it is tried again."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    handle = evil(driver, lambda: None)
    task = driver.spawn(does(handle.connect(listener.getsockname())))
    assert not task.done
    handle.sock.act = act
    listener.settimeout(20)
    return handle, task, listener, fillers


def test_closed_in_the_middle_of_a_later_attempt(driver: Driver) -> None:
    acted = []

    def act() -> None:
        acted.append(handle.close())

    handle, task, listener, fillers = waiting_connect(driver, act)
    with listener:
        while not acted and not task.done:
            listener.accept()[0].close()
            driver.turn(0.05)
        driver.until(lambda: task.done)
        assert task.error is None or isinstance(task.error, OSError)  # it may have ended
    for filler in fillers:
        filler.close()


def test_an_interrupt_in_the_middle_of_an_attempt_loses_nothing(driver: Driver) -> None:
    handle, peer = driver.half()

    def act() -> None:
        evil_handle.sock.act = lambda: None
        raise KeyboardInterrupt

    evil_handle, task, listener, fillers = waiting_connect(driver, act)
    with listener, peer:
        other = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"not lost")
        with pytest.raises(KeyboardInterrupt):
            while True:
                listener.accept()[0].close()
                driver.turn(0.05)
        driver.finish(task)
        assert driver.finish(other) == [b"not lost"]
    for filler in fillers:
        filler.close()


class Replaced(socket.socket):
    """A socket whose connect_ex can be replaced by C code, so that no bytecode runs signal handlers too early."""

    __slots__ = ("connect_ex",)


def test_a_signal_whose_handler_raises_loses_nothing_that_has_finished(driver: Driver) -> None:
    ctypes = pytest.importorskip("ctypes")

    class Stop(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise Stop

    sock: Any = Replaced()
    sock.connect_ex = lambda address: errno.EINPROGRESS
    handle = driver.attach(sock)
    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        task = driver.spawn(does(handle.connect(int(signal.SIGUSR1))))
        sock.connect_ex = ctypes.PyDLL(None)["raise"]  # returns 0, and the signal is pending then
        with pytest.raises(Stop):
            driver.poller.poll(5)
        assert driver.poller.poll(0) == [task]
        driver.step(task)
        assert task.done
        assert task.error is None
    finally:
        signal.signal(signal.SIGUSR1, previous)


# Buffers.


def test_a_buffer_that_is_being_sent_cannot_be_resized(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        data = bytearray(1 << 24)
        task = driver.spawn(does(handle.sendall(data)))
        assert not task.done
        with pytest.raises(BufferError):
            data.append(1)
        assert driver.cancel(task)
        driver.turn()
        assert isinstance(task.error, Cancelled)
        task.error = None
        data.append(1)


def test_a_view_that_is_released_meanwhile_is_sent_all_the_same(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        data = bytes(1 << 23)
        view = memoryview(data)
        task = driver.spawn(does(handle.sendall(view)))
        view.release()
        got = 0
        peer.setblocking(False)
        while got < len(data):
            try:
                got += len(peer.recv(1 << 20))
            except BlockingIOError:
                driver.turn(0.01)
        assert driver.finish(task) == [None]


def test_what_is_not_contiguous_is_refused(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        with pytest.raises(TypeError):
            driver.run(does(handle.sendall(memoryview(b"0123456789")[::2])))
        driver.run(does(handle.sendall(memoryview(b"0123456789")[2:4])))
        assert peer.recv(10) == b"23"


@pytest.mark.parametrize("size", [1, 100, 32768, 32769, 65536, 65537, 200000])
def test_every_size_is_exact(driver: Driver, size: int) -> None:
    one, other = driver.pair("unix")
    data = bytes(number % 251 for number in range(size))

    def reader(most: int) -> Steps[bytes]:
        got = b""
        while len(got) < size:
            piece = yield from other.recv(most)
            assert sys.getsizeof(piece) == sys.getsizeof(b"") + len(piece)
            got += piece
        return got

    for most in (size, 65536, 1 << 20):
        reading = driver.spawn(reader(most))
        sending = driver.spawn(does(one.sendall(data)))
        assert driver.finish(reading, sending)[0] == data


# The poller.


def test_bad_arguments(driver: Driver) -> None:
    poller: Any = driver.poller
    handle: Any = driver.attach(socket.socket())
    op = handle.recv(1)
    op.close()
    wrong: Any
    for wrong in (
        lambda: poller.poll("soon"),
        lambda: poller.poll(0, "all"),
        lambda: poller.poll(0, 1, 2),
        lambda: handle.recv(),
        lambda: handle.recv(1, 2, 3),
        lambda: handle.recv(1.5),
        lambda: handle.send(),
        lambda: type(poller)("argument"),
        lambda: type(handle)(),
        lambda: type(op)(),
    ):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: poller.poll(float("nan")), lambda: poller.poll(0, 0)):
        with pytest.raises(ValueError, match="."):
            wrong()
    with pytest.raises(AttributeError):
        del poller.streak


def test_weak_references_and_text(driver: Driver) -> None:
    assert weakref.ref(driver.poller)() is driver.poller
    assert repr(driver.poller) == "<native epoll poller, 0 handles>"
    handle, peer = driver.half()
    with peer:
        number = handle.fileno()
        op = handle.recv(1)
        assert repr(op) == f"<operation recv on fd {number}, not begun>"
        op.close()
        assert repr(op) == f"<operation recv on fd {number}, ended>"
        assert repr(handle) == f"<reading on fd {number}, state 0>"


def test_behind_much_that_was_received_the_rest_is_left_to_the_steps(driver: Driver) -> None:
    """The contract tests what happens to it. This tests that it is left at all."""
    large, flood = driver.half("unix")
    others = [driver.half() for _ in range(3)]
    tasks = [driver.spawn(does(large.recv(1 << 20)))]
    tasks += [driver.spawn(does(handle.recv(10))) for handle, _ in others]
    flood.sendall(bytes(70_000))
    for _, peer in others:
        peer.sendall(b"left")
    assert driver.poller.poll(5) == tasks
    assert [handle.sock.recv(2) for handle, _ in others] == [b"le"] * 3
    for task in tasks:
        driver.step(task)
    assert [task.result for task in tasks[1:]] == [b"ft"] * 3
    for peer in [flood, *(peer for _, peer in others)]:
        peer.close()


def test_a_number_that_no_descriptor_can_be_is_refused(driver: Driver) -> None:
    class Liar(socket.socket):
        def fileno(self) -> int:
            return 2**31 - 1

        def setblocking(self, flag: bool, /) -> None:
            pass

    with Liar() as sock, pytest.raises((OverflowError, MemoryError, OSError)):
        driver.poller.attach(sock)


def test_a_long_chain_of_operations_does_not_overflow_the_stack(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        op: Any = None
        for _ in range(300_000):
            op = handle.recv(1, op)
        del op
        assert driver.poller.stats().parked == 0


def test_no_call_of_pythons_is_between_a_descriptor_and_its_owner(
    driver: Driver,
) -> None:
    """So a signal handler cannot raise there."""
    calls: list[str] = []

    def trace(frame: Any, event: str, _: Any) -> None:
        if frame.f_globals.get("__name__") == "socket":
            calls.append(frame.f_code.co_name)
            raise KeyboardInterrupt

    listener, address = driver.listener()
    with socket.create_connection(address) as client:
        handle, _peer = driver.run(does(listener.accept()))
        sys.settrace(trace)
        try:
            made = handle.sock.getsockname()
            steps = iter(handle.recv(1))
            next(steps).park(None)
            again = handle.sock.getsockname()
            handle.close()
        finally:
            sys.settrace(None)
        assert made == again == address
        assert calls == []
        client.settimeout(5)
        assert client.recv(1) == b""
