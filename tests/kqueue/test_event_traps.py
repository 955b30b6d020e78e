"""The traps of kqueue that others fell into and the poller avoids: events."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from pollers.readiness.kqueue import SO_NOSIGPIPE
from tests.contract.driver import Driver, does, tcp_pair

from .asked import Kernel, renumbered
from .spy import Spy, altered
from .test_traps import make_room

# Events.


def test_data_before_the_end(driver: Driver, spy: Spy) -> None:
    """EV_EOF comes with bytes unread."""
    seen: list[Any] = []
    spy.alters = lambda events: seen.extend(events) or events  # type: ignore[func-returns-value]
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(3)))
    peer.sendall(b"abcdef")
    peer.close()
    Kernel.settle()
    assert driver.finish(task) == [b"abc"]
    assert any(event.flags & spy.KQ_EV_EOF for event in seen)
    assert driver.run(does(handle.recv(10))) == b"def"
    assert driver.run(does(handle.recv(10))) == b""


def test_an_end_that_stays_true_is_no_event_for_ever(driver: Driver) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    peer.close()
    assert driver.finish(task) == [b""]
    driver.turn(0)
    before = driver.poller.stats().events
    for _ in range(10):
        driver.turn(0)
        assert driver.run(does(handle.recv(10))) == b"", "and it is remembered"
    assert driver.poller.stats().events == before


def test_the_end_of_reading_wakes_a_writer(driver: Driver, spy: Spy) -> None:
    """Some systems report a vanished reader only by EVFILT_READ."""
    handle, peer = driver.half("unix")
    driver.fill(handle)
    task = driver.spawn(does(handle.send(b"more")))
    driver.cancel(driver.spawn(does(handle.recv(1))))
    driver.turn(0)
    spy.alters = lambda events: [event for event in events if event.filter == spy.KQ_FILTER_READ]
    peer.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # on Linux a reset, because of unread data
        driver.finish(task)


def test_the_end_of_writing_is_not_the_peers_end(driver: Driver) -> None:
    """Our own shutdown causes it, too: the writer fails, the reader continues."""
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        reading = driver.spawn(does(handle.recv(10)))
        writing = driver.spawn(does(handle.send(b"more")))
        handle.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            driver.finish(writing)
        assert not reading.done
        peer.sendall(b"still here")
        assert driver.finish(reading) == [b"still here"]


def test_what_events_tell_besides_is_not_believed(driver: Driver, spy: Spy) -> None:
    """The poller ignores counts, errors, and flags that a system leaves in or adds."""
    noise = spy.KQ_EV_ADD | spy.KQ_EV_ONESHOT | spy.KQ_EV_ERROR | 0x40
    spy.alters = lambda events: [
        altered(event, data=-1, fflags=errno.EPIPE, flags=event.flags | noise) for event in events
    ]
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        peer.sendall(b"hello")
        assert driver.finish(task) == [b"hello"]
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    with pytest.raises(ConnectionRefusedError):
        driver.run(does(driver.attach(socket.socket()).connect(address)))


def test_a_short_receive_is_not_taken_for_an_empty_socket(driver: Driver) -> None:
    """It may have stopped at an urgent mark, and no event reports the data after it."""
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(100)))
        peer.sendall(b"before")
        peer.send(b"!", socket.MSG_OOB)
        peer.sendall(b"after")
        Kernel.settle()
        assert driver.finish(task) == [b"before"]
        assert driver.run(does(handle.recv(100))) == b"after"


def test_an_event_for_nothing(driver: Driver, spy: Spy) -> None:
    """The event is stale, or another OS thread was faster: the wait continues."""
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        spy.alters = lambda events: [*events, spy.event(handle.fileno(), spy.KQ_FILTER_READ)]
        assert driver.turn(0) == 0
        spy.alters = lambda events: events
        peer.sendall(b"x")
        assert driver.finish(task) == [b"x"]


@pytest.mark.parametrize("turned", [False, True])
def test_two_events_of_a_socket_in_any_order(driver: Driver, spy: Spy, turned: bool) -> None:
    handle, peer = driver.half()
    driver.fill(handle)
    reading, writing = driver.spawn(does(handle.recv(10))), driver.spawn(does(handle.wait_writable()))
    spy.alters = lambda events: sorted(events, key=lambda event: event.filter, reverse=turned)
    with peer:
        peer.sendall(b"x")
        make_room(driver, peer, writing)
        assert driver.finish(reading, writing) == [b"x", None]


@pytest.mark.parametrize("operation", ["recv", "accept"])
def test_an_event_of_a_predecessor_changes_nothing(driver: Driver, spy: Spy, operation: str) -> None:
    """The event was fetched together with one whose waiter closed the socket, or by another OS thread just before."""
    old, old_peer = driver.half()
    driver.spawn(does(old.recv(10)))
    number = old.fileno()
    old.close()
    driver.turn(0)
    if operation == "accept":
        new, new_peer = socket.create_server(("127.0.0.1", 0)), old_peer
    else:
        new, new_peer = tcp_pair()
    handle = driver.attach(renumbered(new, number))
    task = driver.spawn(does(handle.accept() if operation == "accept" else handle.recv(10)))
    spy.alters = lambda events: [*events, spy.event(number, spy.KQ_FILTER_READ, spy.KQ_EV_EOF)]
    for _ in range(3):
        assert driver.turn(0) == 0
    assert not task.done
    driver.cancel(task)
    driver.turn(0)
    for sock in (old_peer, new_peer):
        sock.close()


def test_more_events_than_were_asked_for(driver: Driver, spy: Spy) -> None:
    halves = [driver.half() for _ in range(5)]
    for handle, _ in halves:
        driver.spawn(does(handle.recv(10)))
    for _, peer in halves:
        peer.sendall(b"x")
    Kernel.settle()
    assert [len(driver.poller.poll(0, 2)) for _ in range(4)] == [2, 2, 1, 0]
    for _, peer in halves:
        peer.close()


@pytest.mark.parametrize("refuses", [False, True])
def test_no_sigpipe_where_it_is_an_option_of_the_socket(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    """macOS has no MSG_NOSIGNAL, and sets no options on a connection that has ended."""
    set_: list[tuple[int, ...]] = []

    class Sock(socket.socket):
        def setsockopt(self, *option: Any) -> None:
            set_.append(option)
            if refuses:
                raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("pollers.readiness.kqueue.sys", SimpleNamespace(platform="darwin"))
    driver.attach(Sock())
    assert set_ == [(socket.SOL_SOCKET, SO_NOSIGPIPE, 1)]
