"""The traps of kqueue that the poller avoids: closing, forking, several OS threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from pollers import Closed
from pollers.readiness.kqueue import Kqueue
from tests.contract.driver import Driver, does
from tests.interop.peers import LIMIT_S, ROOT

from .asked import Kernel
from .spy import Spy


def test_close_tells_its_waiters_itself(driver: Driver, spy: Spy) -> None:
    """A close causes no event."""
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        tasks = [driver.spawn(does(handle.recv(10))), driver.spawn(does(handle.send(b"more")))]
        spy.alters = lambda events: []
        handle.close()
        driver.turn(0)
        assert all(isinstance(task.error, Closed) for task in tasks)


def test_a_duplicate_has_filters_of_its_own(driver: Driver) -> None:
    """Filters belong to the number, not to the file: to close one number silences that one."""
    handle, peer = driver.half()
    duplicate = driver.attach(handle.sock.dup())
    with peer:
        tasks = [driver.spawn(does(one.wait_readable())) for one in (handle, duplicate)]
        peer.sendall(b"for both")
        driver.finish(*tasks)
        assert driver.run(does(handle.recv(100))) == b"for both"
        waiting = driver.spawn(does(duplicate.recv(10)))
        handle.close()
        peer.sendall(b"for one")
        assert driver.finish(waiting) == [b"for one"]


def test_a_deletion_does_not_recall_what_was_fetched(driver: Driver, spy: Spy) -> None:
    handle, peer = driver.half()
    driver.spawn(does(handle.recv(10)))
    number = handle.fileno()
    with peer, handle.detach():
        driver.turn(0)
        spy.alters = lambda events: [spy.event(number, spy.KQ_FILTER_READ)]
        assert driver.turn(0) == 0


# Several OS threads in one kqueue.


class Sleepers:
    """OS threads that wait in a poller's kqueue, each for one batch of edges."""

    def __init__(self, poller: Kqueue, count: int) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self._poller = poller
        self._threads = [threading.Thread(target=self._wait) for _ in range(count)]
        poller._waiting = True  # as poll() does
        for thread in self._threads:
            thread.start()

    def _wait(self) -> None:
        self.batches.append(self._poller.wait(LIMIT_S, 10))

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_shutdown_wakes_all_who_sleep_and_closes_behind_the_last(kernel: Kernel) -> None:
    """On some systems a close of the kqueue wakes nobody, and another file may get its number at once."""
    poller = Kqueue(kernel.impl)
    fd = poller.fileno()
    sleepers = Sleepers(poller, 4)
    begun = time.monotonic()
    poller.shutdown()
    sleepers.join()
    assert time.monotonic() - begun < LIMIT_S / 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(ValueError, match="closed"):
        poller.fileno()
    with pytest.raises(RuntimeError, match="shut down"):
        poller.wait(0, 1)


def test_an_edge_is_fetched_by_one(kernel: Kernel) -> None:
    poller = Kqueue(kernel.impl)
    driver = Driver(poller, "kqueue")
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        sleepers = Sleepers(poller, 3)
        peer.sendall(b"x")
        while not sleepers.batches:
            time.monotonic()
        for _ in range(2):
            poller._wake_sender.send(b"\0")
        sleepers.join()
        edges = [edge for batch in sleepers.batches for edge in batch]
        assert [fd for fd, _ in edges].count(handle.fileno()) == 1
        poller._waiting = False
        driver.cancel(task)
        driver.turn(0)
    driver.close()


# A forked child has no kqueue, and Python before 3.12.1 does not know this.

FORK = """
import gc, os, sys
from tests.kqueue_sim import Faults, simulator   # its kqueues are gone in the child before anybody else looks

poller, number, taken = None, -1, []

def take_the_number():
    while number not in taken:
        taken.append(os.open(os.devnull, os.O_RDONLY))

if {early}:
    os.register_at_fork(after_in_child=lambda: take_the_number())

from pollers.readiness.kqueue import Kqueue

poller = Kqueue(simulator(faults=Faults(closed_by_fork={closed_by_fork})))
number = poller.fileno()
pid = os.fork()
if pid == 0:
    status = 1
    try:
        take_the_number()
        {shut_down}
        poller = None
        gc.collect()
        os.fstat(number)
        status = 0
    finally:
        os._exit(status)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
poller.poll(0)
poller.shutdown()
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the simulator runs on Linux")
@pytest.mark.parametrize("closed_by_fork", [False, True])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("shut_down", ["", "poller.shutdown()"])
def test_a_forked_child_never_closes_who_has_the_number_now(closed_by_fork: bool, early: bool, shut_down: str) -> None:
    """It does not matter whether the number was taken before the poller noticed the fork, or later."""
    program = FORK.format(closed_by_fork=closed_by_fork, early=early, shut_down=shut_down)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
