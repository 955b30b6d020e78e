"""The traps of kqueue that others fell into and the poller avoids: calls, changes, events."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import tempfile
import time
from types import SimpleNamespace

import pytest

from pollers import Closed
from pollers.readiness.kqueue import EVENTS_MAX, Kqueue
from tests.contract.driver import Driver, Task, does
from tests.kqueue_sim import Faults, simulator
from tests.kqueue_sim.abi import IN_SELECT, name_in_select

from .asked import Kernel
from .spy import Renumbered, Spy


def live_a_little(driver: Driver) -> None:
    """Wait in both directions, be woken, detach, attach, close."""
    handle, peer = driver.half()
    with peer:
        reading = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"x")
        driver.finish(reading)
        driver.fill(handle)
        writing = driver.spawn(does(handle.send(b"more")))
        driver.cancel(writing)
        driver.turn(0)
        again = driver.attach(handle.detach())
        driver.spawn(does(again.recv(10)))
        again.close()
        driver.turn(0)


def make_room(driver: Driver, peer: socket.socket, writing: Task) -> None:
    """Receive until the writer has been woken."""
    peer.setblocking(False)
    while not writing.done:
        with contextlib.suppress(BlockingIOError):
            peer.recv(1 << 20)
        driver.turn(0.01)


# Python's layer.


def test_changes_never_go_with_a_wait(driver: Driver, spy: Spy) -> None:
    """After a signal Python submits the changes again: the second EV_DELETE is an error, which hides the events."""
    live_a_little(driver)
    assert spy.changes
    assert all(call.room == 0 for call in spy.calls if call.changes)


def test_changes_go_one_by_one(driver: Driver, spy: Spy) -> None:
    """If one change fails, the kernel drops the later ones."""
    live_a_little(driver)
    assert {len(call.changes) for call in spy.calls} == {0, 1}


def test_a_wait_always_has_room_for_an_event(driver: Driver, spy: Spy) -> None:
    """Without room the call would not wait. And Python allocates as much room as is requested."""
    begun = time.monotonic()
    assert driver.poller.poll(0.05, 0) == []
    assert time.monotonic() >= begun + 0.05
    driver.poller.poll(0, 10**6)
    assert [call.room for call in spy.waits] == [1, EVENTS_MAX]


def test_no_timeout_is_refused(driver: Driver, spy: Spy) -> None:
    """Python refuses negative and infinite timeouts, some systems refuse long ones."""
    driver.poller.poll(-0.001)
    handle, peer = driver.half()
    with peer:
        for timeout_s in (None, float("inf"), 1e12):
            task = driver.spawn(does(handle.recv(10)))
            peer.sendall(b"x")
            driver.poller.poll(timeout_s)
            driver.step(task)
    assert [call.timeout_s for call in spy.waits] == [0, 86400, 86400, 86400]


def test_no_constant_is_used_that_python_has_not(driver: Driver, spy: Spy) -> None:
    """The numbers of EVFILT_USER, EV_RECEIPT, EV_DISPATCH and NOTE_TRIGGER differ between systems."""
    live_a_little(driver)
    driver.close()
    driver.handles.clear()
    driver.turn = lambda timeout_s=0: 0  # type: ignore[method-assign]
    assert spy.names <= {"kevent"} | {name_in_select(name) for name in IN_SELECT}


def test_filters_are_numbers_and_nought_is_one(kernel: Kernel) -> None:
    """EVFILT_READ is 0 on NetBSD. Filters are not bits either: READ | WRITE is READ."""
    driver = Driver(Kqueue(Renumbered(kernel.impl)), "kqueue")
    live_a_little(driver)
    handle, peer = driver.half()
    driver.fill(handle)
    writing = driver.spawn(does(handle.wait_writable()))
    reading = driver.spawn(does(handle.recv(10)))
    with peer:
        peer.sendall(b"x")
        assert driver.finish(reading) == [b"x"]
        assert not writing.done
        make_room(driver, peer, writing)
    driver.close()


def test_a_handler_that_raises_among_the_events_loses_none(driver: Driver, spy: Spy) -> None:
    """Each event is reported only once."""
    handle, peer = driver.half()

    class Stop(Exception):
        pass

    class Interrupting(SimpleNamespace):
        raised = False

        @property
        def filter(self) -> int:
            if not Interrupting.raised:
                Interrupting.raised = True
                signal.raise_signal(signal.SIGUSR1)
            return int(self.number)

    def stop(number: int, frame: object) -> None:
        raise Stop

    spy.alters = lambda events: [
        Interrupting(ident=event.ident, number=event.filter, flags=event.flags) for event in events
    ]
    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        with peer:
            task = driver.spawn(does(handle.recv(10)))
            peer.sendall(b"hello")
            with pytest.raises(Stop):
                driver.until(lambda: task.done)
            assert driver.finish(task) == [b"hello"]
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_no_kqueue_left() -> None:
    """pollers.choose() then tries the next poller."""
    with pytest.raises(OSError, match="Too many open files"):
        Kqueue(simulator(faults=Faults(no_kqueue=errno.EMFILE)))


def test_no_memory_for_the_first_change() -> None:
    """Nothing stays open."""
    with pytest.raises(OSError, match="Cannot allocate memory"):
        Kqueue(simulator(faults=Faults(refused={"EV_ADD": errno.ENOMEM})))


# Changes.


@pytest.mark.parametrize("name", ["ENOMEM", "EINVAL", "EPIPE", "EPERM", "ENODEV"])
def test_a_refused_change_is_the_error_of_its_operation(driver: Driver, spy: Spy, name: str) -> None:
    handle, peer = driver.half()
    other, other_peer = driver.half()
    waiting = driver.spawn(does(other.recv(10)))
    with peer, other_peer:
        other_peer.sendall(b"not hidden")
        spy.refuses = lambda change: getattr(errno, name)
        with pytest.raises(OSError, match=r".") as refused:
            driver.run(does(handle.recv(10)))
        assert refused.value.errno == getattr(errno, name)
        spy.refuses = lambda change: 0
        assert driver.finish(waiting) == [b"not hidden"]
        waiting = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"the next one is tried again")
        assert driver.finish(waiting) == [b"the next o"]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EBADF, errno.EINVAL, errno.EPERM, 93])
def test_a_delete_may_fail_in_many_ways(driver: Driver, spy: Spy, number: int) -> None:
    """For a closed descriptor FreeBSD returns EBADF, macOS ENOENT, and FreeBSD's sandbox 93 (ENOTCAPABLE)."""
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    spy.refuses = lambda change: number if change.flags == spy.KQ_EV_DELETE else 0
    with peer:
        before = len(spy.changes)
        sock = handle.detach()
        deleted = {change.filter for change in spy.changes[before:]}
        assert deleted == {spy.KQ_FILTER_READ, spy.KQ_FILTER_WRITE}, "the second one in spite of the first"
        with pytest.raises(Closed):
            driver.finish(task)
        again = driver.attach(sock)
        task = driver.spawn(does(again.recv(10)))
        peer.sendall(b"hello")
        assert driver.finish(task) == [b"hello"]


def test_a_mode_is_never_changed_by_adding_again(driver: Driver, spy: Spy) -> None:
    """EV_ADD changes neither the mode nor a disabled event. So there is one mode, and a filter is added only once."""
    one, peer = driver.half()
    with peer:
        before = len(spy.changes)
        for _ in range(10):
            task = driver.spawn(does(one.recv(10)))
            peer.sendall(b"x")
            driver.finish(task)
        add = spy.KQ_EV_ADD | spy.KQ_EV_CLEAR
        assert [change.flags for change in spy.changes[before:]] == [add]
        two = driver.attach(one.detach())
        driver.cancel(driver.spawn(does(two.recv(10))))
        driver.turn(0)
        assert [change.flags for change in spy.changes[before:]] == [add, spy.KQ_EV_DELETE, spy.KQ_EV_DELETE, add]


def test_only_what_works_alike_everywhere_is_used(driver: Driver, spy: Spy) -> None:
    """No EVFILT_USER, EVFILT_SIGNAL or EVFILT_PROC; no EV_DISPATCH, EV_ONESHOT or EV_RECEIPT; nothing in udata."""
    live_a_little(driver)
    assert {change.filter for change in spy.changes} == {spy.KQ_FILTER_READ, spy.KQ_FILTER_WRITE}
    assert {change.flags for change in spy.changes} == {
        spy.KQ_EV_ADD,  # the socket that wakes us
        spy.KQ_EV_ADD | spy.KQ_EV_CLEAR,
        spy.KQ_EV_DELETE,
    }
    assert {(change.fflags, change.data, change.udata) for change in spy.changes} == {(0, 0, 0)}


def test_nothing_is_registered_before_it_listens(driver: Driver, spy: Spy) -> None:
    """NetBSD would never report a listener that was registered too early."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listener = driver.attach(sock)
    before = len(spy.changes)
    with pytest.raises(OSError, match="Invalid argument"):
        driver.run(does(listener.accept()))
    assert len(spy.changes) == before
    sock.listen()
    task = driver.spawn(does(listener.accept()))
    with socket.create_connection(sock.getsockname()):
        driver.finish(task)[0][0].close()


def test_a_file_is_no_socket() -> None:
    """Regular files are always ready, or never; some devices are refused."""
    with tempfile.TemporaryFile() as file, pytest.raises(OSError, match="non-socket"):
        socket.socket(fileno=file.fileno())
