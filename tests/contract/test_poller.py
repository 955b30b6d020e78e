"""The poller itself: waiting, waking, fairness, forks, many sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pollers import Closed

from .driver import Driver, Task, does

# A wait that nothing ends, and a time that is clearly less, however busy the machine is.
VAIN_S = 120
SOON_S = 60


def test_nothing_to_return(driver: Driver) -> None:
    begun = time.monotonic()
    assert driver.poller.poll(0) == []
    assert driver.poller.poll(0.02) == []
    assert time.monotonic() - begun < SOON_S


def test_a_wait_is_never_shorter_than_asked_for(driver: Driver) -> None:
    """The timeout is rounded up. Otherwise a timer could find that its time has not come yet, and spin."""
    for wait_s in (0.0001, 0.001, 0.0015, 0.0101):
        begun = time.perf_counter()
        driver.poller.poll(wait_s)
        assert time.perf_counter() - begun >= wait_s


def test_the_clock_is_the_one_by_which_it_waits(driver: Driver) -> None:
    begun = driver.poller.now()
    driver.poller.poll(0.0501)
    tick_s = time.get_clock_info("monotonic").resolution
    assert driver.poller.now() >= begun + 0.0501 - tick_s
    before = time.monotonic()
    assert before <= driver.poller.now() <= time.monotonic()


def test_sockets_that_it_makes_are_attached_and_work(driver: Driver) -> None:
    poller = driver.poller
    listener = poller.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    conn = poller.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server, client = driver.attach(listener), driver.attach(conn)
    accepting = driver.spawn(does(server.accept()))
    driver.run(does(client.connect(listener.getsockname())))
    accepted, _ = driver.finish(accepting)[0]
    driver.handles.append(accepted)
    driver.run(does(client.sendall(b"hello")))
    assert driver.run(does(accepted.recv(10))) == b"hello"


FAMILIES = [socket.AF_INET, *([socket.AF_UNIX] if hasattr(socket, "AF_UNIX") and os.name != "nt" else [])]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_pair_that_it_makes_is_connected(driver: Driver, family: int, kind: int) -> None:
    one, other = map(driver.attach, driver.poller.socketpair(family, kind, 0))
    waiting = driver.spawn(does(other.recv(10)))
    driver.run(does(one.send(b"to you")))
    assert driver.finish(waiting) == [b"to you"]


@pytest.mark.parametrize("closed", [0, 1], ids=["the first", "the second"])
def test_a_duplicate_of_a_socket_is_independent(driver: Driver, closed: int) -> None:
    """Both have the same open file description. Each has its own events, whichever of them is closed."""
    one, peer = driver.half()
    both = one, driver.attach(one.sock.dup())
    waits = [driver.spawn(does(handle.recv(10))) for handle in both]
    driver.turn()
    assert not any(wait.done for wait in waits)
    both[closed].close()
    driver.until(lambda: waits[closed].done)
    assert isinstance(waits[closed].error, Closed)
    for _ in range(3):
        driver.turn()
    assert not waits[not closed].done
    peer.send(b"data")
    assert driver.finish(waits[not closed]) == [b"data"]
    stays = both[not closed]
    driver.run(does(stays.sendall(b"alive")))
    assert peer.recv(10) == b"alive"
    driver.fill(stays)
    sending = driver.spawn(does(stays.send(b"more")))
    assert not sending.done
    while not sending.done:
        peer.recv(1 << 20)
        driver.turn(0.01)
    sending.outcome()
    peer.close()


def test_a_descriptor_is_adopted_as_what_it_is(driver: Driver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address, fd = sock.getsockname(), sock.detach()
    adopted = driver.poller.adopt(fd)
    with adopted:
        assert (adopted.fileno(), adopted.family, adopted.type) == (fd, socket.AF_INET, socket.SOCK_DGRAM)
        assert adopted.getsockname() == address
    with pytest.raises(OSError) as refused:  # noqa: PT011
        driver.poller.adopt(fd)
    assert refused.value.errno in (errno.EBADF, errno.ENOTSOCK)


def test_it_tells_which_descriptors_are_ready(driver: Driver) -> None:
    (one, other), (idle, peer) = driver.pair(), driver.pair()
    driver.run(does(one.sendall(b"x")))
    driver.run(does(other.wait_readable()))
    fds = [handle.fileno() for handle in (one, other, idle, peer)]
    assert driver.poller.ready(fds, []) == ({other.fileno()}, set())
    assert driver.poller.ready([], fds) == (set(), set(fds))
    idle.close()
    assert driver.poller.ready(fds[2:3], fds[2:3]) == (set(), set())
    assert driver.poller.ready(fds, fds[2:]) == ({other.fileno(), peer.fileno()}, {peer.fileno()})
    assert driver.poller.ready([], []) == (set(), set())


def test_a_direction_tells_its_descriptor(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        reading, writing = handle.reading, handle.writing
        assert reading.fileno() == writing.fileno() == handle.fileno() >= 0
        handle.close()
        assert reading.fileno() == writing.fileno() == -1


def test_limit_leaves_the_rest_for_the_next_call(driver: Driver) -> None:
    pairs = [driver.half() for _ in range(10)]
    tasks = [driver.spawn(does(handle.recv(10))) for handle, _ in pairs]
    for _, peer in pairs:
        peer.sendall(b"x")
    seen: list[Task] = []
    give_up = time.monotonic() + 20
    while len(seen) < 10 and time.monotonic() < give_up:
        found = driver.poller.poll(1, 3)
        assert len(found) <= 3
        seen += found
    assert len(seen) == 10
    assert set(seen) == set(tasks)
    for task in seen:
        driver.step(task)
    for _, peer in pairs:
        peer.close()


def test_wakeup_from_another_os_thread(driver: Driver) -> None:
    waker = soon(driver.poller.wakeup)
    begun = time.monotonic()
    waker.start()
    driver.poller.poll(VAIN_S)
    assert time.monotonic() - begun < SOON_S
    waker.join()


let_others_run: Callable[[], object] = getattr(os, "sched_yield", threading.Event().is_set)


def soon(act: Callable[[], None]) -> threading.Thread:
    """Start an OS thread that acts when this one is probably in poll(). The tests hold in either case."""

    def wait_a_little() -> None:
        for _ in range(20):
            let_others_run()
        act()

    return threading.Thread(target=wait_a_little)


def test_a_wakeup_that_came_before_counts_once(driver: Driver) -> None:
    driver.poller.wakeup()
    driver.poller.wakeup()
    begun = time.monotonic()
    driver.poller.poll(VAIN_S)
    assert time.monotonic() - begun < SOON_S
    begun = time.perf_counter()
    driver.poller.poll(0.05)
    assert time.perf_counter() - begun >= 0.05


def test_wakeups_are_no_system_calls_while_nobody_waits(driver: Driver) -> None:
    for _ in range(10000):
        driver.poller.wakeup()
    assert driver.poller.stats().wakeups == 0
    driver.poller.poll(0)


def test_wakeups_race(driver: Driver) -> None:
    """Every wake-up ends a wait if there are no other events."""
    rounds = 500
    go = threading.Semaphore(0)

    def wake() -> None:
        for _ in range(rounds):
            go.acquire()
            driver.poller.wakeup()

    waker = threading.Thread(target=wake)
    waker.start()
    for _ in range(rounds):
        go.release()
        begun = time.monotonic()
        driver.poller.poll(VAIN_S)
        assert time.monotonic() - begun < SOON_S
    waker.join()


@contextlib.contextmanager
def handled_by(driver: Driver, handler: Callable[[int, object], None]) -> Iterator[Callable[[], None]]:
    """Install a handler, and let an OS thread send this process a signal soon, which ends a wait.

    That OS thread runs already, since a handler that raises could interrupt the code that starts one.
    """
    number = getattr(signal, "SIGUSR1", signal.SIGTERM)
    previous = signal.signal(number, handler)
    previous_fd = signal.set_wakeup_fd(driver.poller.wakeup_fileno(), warn_on_full_buffer=False)
    go = threading.Lock()
    go.acquire()

    def kill() -> None:
        go.acquire()
        soon(lambda: os.kill(os.getpid(), number) if os.name == "posix" else signal.raise_signal(number)).run()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield go.release
    finally:
        go.acquire(blocking=False)
        go.release()  # even if the caller has not asked for it
        killer.join()
        signal.set_wakeup_fd(previous_fd)
        signal.signal(number, previous)


def test_a_signal_ends_the_wait(driver: Driver) -> None:
    seen: list[int] = []
    with handled_by(driver, lambda number, frame: seen.append(number)) as send_signal:
        begun = time.monotonic()
        send_signal()
        while not seen:
            driver.poller.poll(VAIN_S)
        assert time.monotonic() - begun < SOON_S


def test_a_handler_that_raises_loses_no_event(driver: Driver) -> None:
    handle, peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    with peer:

        class Stop(Exception):
            pass

        def stop(number: int, frame: object) -> None:
            raise Stop

        with handled_by(driver, stop) as send_signal, contextlib.suppress(Stop):
            send_signal()
            while True:
                driver.poller.poll(VAIN_S)
        peer.sendall(b"hello")
        assert driver.finish(task) == [b"hello"]
