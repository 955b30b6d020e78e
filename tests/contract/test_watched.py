"""Another event loop waits for a poller's descriptor, and calls poll(0) when that is readable."""

from __future__ import annotations

import io
import select
import socket
import threading

import pytest

from .driver import PATIENCE_S, Driver, does
from .kinds import make, names

UNWATCHED = ("select", "iocp", "simulated")

watched = pytest.mark.parametrize(
    "driver", [one for one in names() if not one[0].startswith(UNWATCHED)], indirect=True, ids="-".join
)
unwatched = pytest.mark.parametrize(
    "driver", [one for one in names() if one[0].startswith(UNWATCHED)], indirect=True, ids="-".join
)


@pytest.fixture
def fd(driver: Driver) -> int:
    """The descriptor, which the other loop waits for."""
    assert driver.poller.watch()
    return driver.poller.fileno()


def goes_quiet(driver: Driver, fd: int) -> bool:
    """Watch until there is nothing to do. The descriptor of a simulated kqueue may be readable without an event."""
    for _ in range(10):
        if driver.poller.watch() and not is_readable(fd):
            return True
        assert driver.poller.poll(0) == []
    return False


def is_readable(fd: int, timeout_s: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


@watched
def test_data_makes_it_readable(driver: Driver, fd: int) -> None:
    handle, peer = driver.half()
    with peer:
        receiving = driver.spawn(does(handle.recv(10)))
        assert goes_quiet(driver, fd)
        peer.send(b"hello")
        assert is_readable(fd, PATIENCE_S)
        driver.until(lambda: receiving.done)
        assert receiving.outcome() == b"hello"
        assert goes_quiet(driver, fd)


@watched
def test_more_events_than_poll_takes_leave_it_readable(driver: Driver, fd: int) -> None:
    pairs = [driver.half() for _ in range(5)]
    receiving = [driver.spawn(does(handle.recv(10))) for handle, _ in pairs]
    for _, peer in pairs:
        peer.send(b"x")
    waiters = 0
    while waiters < len(pairs):
        if driver.poller.watch():
            assert is_readable(fd, PATIENCE_S)
        for task in driver.poller.poll(0, 1):
            waiters += 1
            driver.step(task)
    assert [task.outcome() for task in receiving] == [b"x"] * len(pairs)
    for _, peer in pairs:
        peer.close()


@watched
def test_a_wakeup_from_another_os_thread_makes_it_readable(driver: Driver, fd: int) -> None:
    for _ in range(3):
        assert goes_quiet(driver, fd)
        thread = threading.Thread(target=driver.poller.wakeup)
        thread.start()
        assert is_readable(fd, PATIENCE_S)
        thread.join()
        assert driver.poller.poll(0) == []


@watched
def test_a_wakeup_before_the_watch_is_not_waited_for(driver: Driver, fd: int) -> None:
    assert driver.poller.poll(0) == []
    driver.poller.wakeup()
    assert not driver.poller.watch()
    assert driver.poller.poll(0) == []
    assert driver.poller.watch()


@watched
def test_a_close_ends_the_wait(driver: Driver, fd: int) -> None:
    handle, peer = driver.half()
    with peer:
        receiving = driver.spawn(does(handle.recv(10)))
        assert driver.poller.watch()
        handle.close()
        assert is_readable(fd, PATIENCE_S)
        driver.until(lambda: receiving.done)
        assert isinstance(receiving.error, OSError)


@watched
def test_a_finished_waiter_is_not_waited_for(driver: Driver, fd: int) -> None:
    handle, peer = driver.half()
    assert driver.poller.poll(0) == []
    with peer:
        receiving = driver.spawn(does(handle.recv(10)))
        handle.close()
        assert not driver.poller.watch()
        driver.until(lambda: receiving.done)


@watched
def test_wakeups_write_nothing_after_the_next_poll(driver: Driver, fd: int) -> None:
    driver.poller.wakeup()
    assert is_readable(fd, PATIENCE_S)
    assert driver.poller.poll(0) == []
    before = driver.poller.stats().wakeups
    driver.poller.wakeup()
    assert driver.poller.stats().wakeups == before == 1


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in names() if not kind.startswith(UNWATCHED)}))
def test_after_a_shutdown(kind: str) -> None:
    poller = make(kind)
    poller.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        poller.watch()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll here")
@watched
def test_a_descriptor_in_another_epoll(driver: Driver, fd: int) -> None:
    """As an event loop on epoll has it: level-triggered."""
    one, other = socket.socketpair()
    handle = driver.attach(one)
    receiving = driver.spawn(does(handle.recv(10)))
    with other, select.epoll() as outer:
        outer.register(fd, select.EPOLLIN)
        for _ in range(3):
            assert goes_quiet(driver, fd)
            assert outer.poll(0) == []
            other.send(b"x")
            assert outer.poll(PATIENCE_S) == [(fd, select.EPOLLIN)]
            driver.finish(receiving)
            receiving = driver.spawn(does(handle.recv(10)))
    driver.give_up(receiving)


@unwatched
def test_one_that_cannot_be_watched_says_so_and_goes_on(driver: Driver) -> None:
    with pytest.raises(io.UnsupportedOperation, match=f"for the {driver.poller.name} poller"):
        driver.poller.watch()
    driver.poller.wakeup()
    assert driver.poller.poll(0) == []
    assert driver.poller.stats().wakeups == 0
