"""Calls in flight: which packet belongs to which call, what its end means, and that no memory is freed before."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any
from unittest import mock

import pytest

import pollers
import socket2
from pollers import STREAK_MAX, Cancelled, Exhausted
from pollers.windows import winsock
from pollers.windows.iocp import Iocp
from pollers.windows.overlapped import Accept
from pollers.windows.winsock import STATUS_PENDING
from tests.contract.driver import Driver, Task, does, tcp_pair
from tests.interop.peers import LIMIT_S

# NTSTATUS
DEVICE_NOT_READY = 0xC00000A3
NETWORK_NAME_DELETED = 0xC00000C9
CONNECTION_RESET = 0xC000020D
INSUFFICIENT_RESOURCES = 0xC000009A


def accept_ends(statuses: list[int]) -> Any:
    """Let the packets of the next accepts report these statuses, one after the other."""
    real = Accept.end

    def end(self: Accept, status: int, count: int) -> None:
        real(self, statuses.pop(0) if statuses else status, count)

    return mock.patch.object(Accept, "end", end)


def accepted_ahead(driver: Driver) -> int:
    """Return how many accepts in flight have ended with packets that nobody has taken."""
    requests = driver.poller._requests.values()  # type: ignore[attr-defined]
    return sum(type(it) is Accept and it.overlapped.Internal != STATUS_PENDING for it in requests)


def wait_for(what: Callable[[], object]) -> None:
    never = threading.Event()
    deadline = monotonic() + LIMIT_S
    while not what():
        assert monotonic() < deadline
        never.wait(0.001)


def test_a_client_that_left_early_is_one_lost_connection(driver: Driver) -> None:
    listener, address = driver.listener()
    statuses = [NETWORK_NAME_DELETED, CONNECTION_RESET, DEVICE_NOT_READY] * 2
    with accept_ends(statuses):
        task = driver.spawn(does(listener.accept()))
        lost = [socket.create_connection(address) for _ in range(6)]
        driver.until(lambda: not statuses)
        assert not task.done, "the listener goes on"
        with socket.create_connection(address) as client:
            handle, peer = driver.finish(task)[0]
            assert peer == client.getsockname()
            handle.close()
    for sock in lost:
        sock.close()


def test_an_error_of_the_listener_is_the_accepts(driver: Driver) -> None:
    listener, address = driver.listener()
    with accept_ends([INSUFFICIENT_RESOURCES]), socket.create_connection(address):
        with pytest.raises(OSError, match=r".") as failure:
            driver.run(does(listener.accept()))
    assert failure.value.errno == errno.ENOBUFS


def test_no_socket_to_accept_into(driver: Driver) -> None:
    """Accept raises Exhausted; the connection waits."""
    listener, address = driver.listener()
    with socket.create_connection(address) as client:
        refused = OSError(errno.EMFILE, "too many")
        with mock.patch("pollers.windows.overlapped.Fresh", side_effect=refused), pytest.raises(Exhausted):
            driver.run(does(listener.accept()))
        handle, peer = driver.run(does(listener.accept()))
        assert peer == client.getsockname()
        handle.close()


def test_nobody_is_accepted_ahead_after_a_cancel(driver: Driver) -> None:
    listener, _ = driver.listener()
    task = driver.spawn(does(listener.accept()))
    assert listener.accepting == 4  # type: ignore[attr-defined]
    assert driver.cancel(task)
    assert listener.accepting == 0  # type: ignore[attr-defined]
    driver.turn()
    assert isinstance(task.error, Cancelled)


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_cancel_while_another_os_thread_may_poll_is_asked_only(driver: Driver, how: str) -> None:
    driver.poller.share()
    listener, _ = driver.listener()
    task = driver.spawn(does(listener.accept()))
    assert not driver.cancel(task)
    if how == "close":
        listener.close()
    driver.until(lambda: task.done)
    assert isinstance(task.error, Cancelled), "that came first"


def test_a_connection_that_came_before_a_cancel_and_was_dropped_is_the_nexts(driver: Driver) -> None:
    """The connection is delivered once: a later accept waits for another one."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with socket.create_connection(address) as client:
        wait_for(lambda: accepted_ahead(driver) == 1)
        assert not driver.cancel(task), "it has finished"
        task.steps.close()
        handle, peer = driver.run(does(listener.accept()))
        assert peer == client.getsockname()
        handle.close()
        task = driver.spawn(does(listener.accept()))
        driver.turn()
        assert task.resumptions == 1


def test_whoever_has_been_accepted_before_a_cancel_is_delivered(driver: Driver) -> None:
    """No accept is in flight after the cancel: a client that comes later waits in the kernel's queue."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with contextlib.ExitStack() as clients:
        come = [clients.enter_context(socket.create_connection(address)) for _ in range(3)]
        wait_for(lambda: accepted_ahead(driver) == 3)  # under Wine another process accepts them
        assert not driver.cancel(task)
        driver.until(lambda: task.done)
        handles = [task.outcome()[0]]
        assert listener.accepting == 0  # type: ignore[attr-defined]
        come.append(clients.enter_context(socket.create_connection(address)))
        for _ in range(2):
            steps = does(listener.accept())
            driver.poller.streak = STREAK_MAX  # as a scheduler does with a thread that it must still interrupt
            with pytest.raises(StopIteration) as accepted_at_once:
                next(steps)
            handles.append(accepted_at_once.value.value[0])
            assert driver.poller.streak == STREAK_MAX
        last, _ = listener.sock.accept()
        accepted = [*(handle.sock.getpeername() for handle in handles), last.getpeername()]
        assert accepted == [client.getsockname() for client in come]
        last.close()
        for handle in handles:
            handle.close()


def test_a_cancel_of_an_accept_that_was_to_let_others_run_waits_for_the_outcome(driver: Driver) -> None:
    """A scheduler that interrupts a running thread makes its next operation yield before the attempt."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with socket.create_connection(address) as first:
        handle, peer = driver.finish(task)[0]
        assert peer == first.getsockname()
        handle.close()
    assert listener.accepting == 3  # type: ignore[attr-defined]
    with socket.create_connection(address) as second:
        wait_for(lambda: accepted_ahead(driver) == 1)
        task = Task(does(listener.accept()))
        driver.poller.streak = STREAK_MAX
        task.waiting_on = next(task.steps)
        if task.waiting_on.park(task):
            driver.ready.append(task)
        assert not driver.cancel(task)
        driver.until(lambda: task.done)
        assert listener.accepting == 0  # type: ignore[attr-defined]
        handle, peer = task.outcome()
        assert peer == second.getsockname()
        handle.close()


def test_a_connection_whose_packet_was_taken_before_a_cancel_is_delivered(driver: Driver) -> None:
    """The event of the last accept in flight has not been returned yet."""
    listener, address = driver.listener()
    task = driver.spawn(does(listener.accept()))
    with contextlib.ExitStack() as clients:
        come = [clients.enter_context(socket.create_connection(address)) for _ in range(4)]
        driver.poller.drain(lambda: listener.accepting > 0)  # type: ignore[attr-defined]
        assert not driver.cancel(task)
        handles = [driver.finish(task)[0][0]]
        handles += [driver.run(does(listener.accept()))[0] for _ in range(3)]
        assert [handle.sock.getpeername() for handle in handles] == [client.getsockname() for client in come]
        for handle in handles:
            handle.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_address_of_an_accepted_client(driver: Driver, family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    listener = driver.attach(socket.create_server((host, 0), family=family))
    client = driver.attach(socket.socket(family))
    task = driver.spawn(does(listener.accept()))
    driver.run(does(client.connect(listener.sock.getsockname())))
    handle, peer = driver.finish(task)[0]
    assert peer == client.sock.getsockname() == handle.sock.getpeername()
    handle.sock.shutdown(socket.SHUT_WR)  # this needs SO_UPDATE_ACCEPT_CONTEXT
    client.sock.shutdown(socket.SHUT_WR)
    assert driver.run(does(client.recv(10))) == b""
    handle.close()


class GetsThePort(socket.socket):
    """Of all free ports it gets the one that it is about to connect to."""

    port = 0

    def bind(self, address: Any, /) -> None:
        super().bind(("127.0.0.1", self.port))


@pytest.mark.parametrize("on_purpose", [False, True])
def test_a_socket_that_is_connected_to_itself(driver: Driver, on_purpose: bool) -> None:
    """By chance, if nobody listens: this is refused. A socket that is bound to that address gets what it wants."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    sock = socket.socket() if on_purpose else GetsThePort()
    if on_purpose:
        sock.bind(address)
    else:
        GetsThePort.port = address[1]
    handle = driver.attach(sock)
    task = driver.spawn(does(handle.connect(address)))
    driver.until(lambda: task.done)
    assert isinstance(task.error, ConnectionRefusedError) is not on_purpose
    assert sock.getpeername() == address


def test_a_buffer_that_is_being_sent_may_change(driver: Driver) -> None:
    """The kernel reads a copy that was made when the send began to wait."""
    handle, peer = driver.half()
    with peer:
        filled = driver.fill(handle)
        data = bytearray(b"a" * 100)
        task = driver.spawn(does(handle.send(data)))
        data[:] = b"b" * 100
        data.clear()
        got = bytearray()
        while len(got) < filled + 100:
            got += peer.recv(1 << 20)
        assert got[filled:] == b"a" * 100
        assert driver.finish(task) == [100]


def test_a_send_that_was_thrown_out_does_not_overtake(driver: Driver) -> None:
    """Its buffer may still be in transmission: the next send waits until the kernel reports the outcome."""
    handle, peer = driver.half()
    with peer:
        filled = driver.fill(handle)
        task = driver.spawn(does(handle.send(b"a" * 1000)))
        task.steps.close()
        after = driver.spawn(does(handle.sendall(b"b" * 1000)))
        got = bytearray()
        peer.setblocking(False)
        while not got.endswith(b"b" * 1000):
            try:
                got += peer.recv(1 << 20)
            except BlockingIOError:
                driver.turn(0.01)
        driver.finish(after)
        tail = bytes(got[filled:])
        assert tail == b"a" * (len(tail) - 1000) + b"b" * 1000


@pytest.mark.parametrize("waiting", [False, True])
def test_a_cancel_that_the_system_loses_is_made_again(driver: Driver, waiting: bool) -> None:
    """Wine loses a cancel that comes while it sends a part. `waiting`: another OS thread cancels during poll()."""
    handle, peer = driver.half()
    if waiting:
        driver.poller.share()
    with peer:
        driver.fill(handle)
        task = driver.spawn(does(handle.send(b"a" * 1000)))
        real, lost = winsock.cancel, list[Any]()

        def lose(*request: Any) -> None:
            if lost:
                real(*request)
            lost.append(request)

        with mock.patch.object(winsock, "cancel", lose):
            canceller = threading.Timer(0.05 * waiting, driver.cancel, [task])
            canceller.start()
            if not waiting:
                canceller.join()
            driver.until(lambda: task.done)
            canceller.join()
        assert lost
        assert isinstance(task.error, Cancelled)


def test_a_sendfile_that_is_cancelled_tells_how_much_has_gone(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer, tempfile.TemporaryFile() as file:
        file.write(os.urandom(1 << 20) * 16)
        file.flush()
        sent = 0
        while True:
            task = driver.spawn(does(handle.sendfile(file.fileno(), sent, 1 << 24)))
            if not driver.turn(0.2):
                driver.give_up(task)
            if task.error is not None:
                break
            sent += task.outcome()
        assert isinstance(task.error, Cancelled)
        handle.close()
        file.seek(0)
        while block := peer.recv(1 << 16):
            assert file.read(len(block)) == block
        assert file.tell() == sent


def test_shutdown_waits_for_every_packet() -> None:
    poller = Iocp()
    pairs = [tcp_pair() for _ in range(10)]
    listener = poller.attach(socket.create_server(("127.0.0.1", 0)))
    tasks: list[Any] = []
    for one, _ in pairs:
        handle = poller.attach(one)
        for operation in (handle.recv(10), handle.sendall(bytes(1 << 24))):
            steps = iter(operation)
            tasks.append(steps)
            assert next(steps).park(object()) is False
    accepting = iter(listener.accept())
    next(accepting).park(object())
    assert len(poller._memory) == 10 * 2 + 4
    assert len(poller.shutdown()) == 21
    assert not poller._memory
    assert not poller._requests
    for _, other in pairs:
        other.close()


def test_a_poller_that_is_dropped_lets_go_of_nothing_that_is_in_flight() -> None:
    from pollers.windows import iocp

    before = len(iocp._unreturned)
    poller = Iocp()
    poller.poll(0)
    assert len(poller._memory) == 1
    del poller
    gc.collect()
    assert len(iocp._unreturned) == before + 1


def test_a_socket_of_another_port_is_refused(driver: Driver) -> None:
    one, other = tcp_pair()
    first = pollers.choose("iocp", checked=False)
    with other:
        handle = first.attach(one)
        waiting = iter(handle.recv(1))
        next(waiting).park(object())
        with socket.socket(fileno=one.fileno()) as same:
            task = driver.spawn(does(driver.poller.attach(same).recv(1)))
            driver.turn(0)
            assert isinstance(task.error, OSError)
            same.detach()
        first.shutdown()


def test_ctrl_c_ends_an_idle_loop() -> None:
    """Another OS thread raises the signal, as Windows does when the keys are pressed."""

    def main() -> Any:
        threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,)).start()
        yield from socket2.sleep(LIMIT_S)

    with pytest.raises(KeyboardInterrupt):
        socket2.run(main)


def test_reset_while_a_receive_waits(driver: Driver) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh", 1, 0))
    peer.close()
    with pytest.raises(ConnectionResetError):
        driver.finish(task)
