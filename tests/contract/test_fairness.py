"""Threads that never have to wait, forks, and many sockets."""

from __future__ import annotations

import copy
import os
import pickle
import socket
from collections.abc import Callable

import pytest

import pollers

from ..limits import allow_descriptors
from .driver import Driver, Steps, does
from .kinds import make


def test_a_thread_that_never_has_to_wait_lets_others_run(driver: Driver) -> None:
    greedy, peer = driver.half()
    other, other_peer = driver.half()
    with peer, other_peer:
        peer.sendall(b"x" * 10000)
        driver.run(does(greedy.wait_readable()))
        counts = {"greedy": 0, "when the other ran": -1}

        def reader() -> Steps[None]:
            while counts["greedy"] < 5000:
                assert (yield from greedy.recv(1)) == b"x"
                counts["greedy"] += 1

        def waiter() -> Steps[None]:
            yield from other.recv(1)
            counts["when the other ran"] = counts["greedy"]

        waiting = driver.spawn(waiter())
        other_peer.sendall(b"y")
        reading = driver.spawn(reader())
        driver.finish(reading, waiting)
        assert 0 <= counts["when the other ran"] <= 200


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_lets_others_run_has_consumed_nothing_and_can_be_cancelled(driver: Driver, cancelled: bool) -> None:
    handle, peer = driver.half()
    with peer:
        peer.sendall(b"0123456789")
        driver.run(does(handle.wait_readable()))
        driver.poller.streak = pollers.STREAK_MAX
        steps = iter(handle.recv(10))
        direction = next(steps)
        assert direction.park(object()) is True, "to be resumed after the others"
        driver.poller.streak = 0
        if cancelled:
            error = pollers.Cancelled()
            assert direction.cancel(error) is False, "it is resumed anyway"
            assert direction.error is error
            with pytest.raises(pollers.Cancelled):
                next(steps)
            assert driver.run(does(handle.recv(10))) == b"0123456789"
        else:
            with pytest.raises(StopIteration) as stop:
                next(steps)
            assert stop.value.value == b"0123456789"


def test_closed_while_others_run(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.poller.streak = pollers.STREAK_MAX
        steps = iter(handle.sendall(b"x"))
        assert next(steps).park(object()) is True
        handle.close()
        driver.poller.streak = 0
        with pytest.raises(pollers.Closed):
            next(steps)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork_the_child_is_refused_and_the_parent_goes_on(driver: Driver) -> None:
    handle, peer = driver.half()
    idle, idle_peer = driver.half()
    task = driver.spawn(does(handle.recv(10)))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answers = []
        for refused in (
            lambda: driver.poller.poll(0),
            lambda: driver.poller.attach(socket.socket()),
            lambda: driver.poller.wakeup(),
            lambda: next(iter(idle.recv(1))),
            lambda: next(iter(idle.send(b"from the child"))),
        ):
            try:
                refused()
                answers.append("done")
            except RuntimeError as error:
                answers.append("refused" if f"process {os.getppid()}" in str(error) else str(error))
            except BaseException as error:
                answers.append(repr(error))
        try:
            for one in (handle, idle):
                one.close()
            driver.poller.shutdown()
            answers.append("closed")
        except BaseException as error:
            answers.append(repr(error))
        os.write(writer, " ".join(answers).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as pipe:
        assert pipe.read().split() == ["refused"] * 5 + ["closed"]
    with peer, idle_peer:
        peer.sendall(b"still here")
        assert driver.finish(task) == [b"still here"]
        idle_peer.sendall(b"this one, too")
        assert driver.run(does(idle.recv(100))) == b"this one, too"


def test_a_new_poller_works_in_the_child(driver: Driver) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            fresh = Driver(make(driver.kind), driver.kind)
            handle, peer = fresh.half()
            peer.sendall(b"x")
            status = 0 if fresh.run(does(handle.recv(1))) == b"x" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_select_2(poller: pollers.Poller) -> bool:
    return type(getattr(getattr(poller, "inner", poller), "_set", None)).__name__ == "_SelectSet"


def test_more_descriptors_than_1024(driver: Driver) -> None:
    allow_descriptors(2600)
    pairs = [driver.half("unix") for _ in range(1200)]
    tasks = [driver.spawn(does(handle.recv(10))) for handle, _ in pairs]
    if is_select_2(driver.poller):
        # Beyond the limit of select(2) an operation is refused. The others and the poller still work.
        refused = [task for task in tasks if task.done or task in driver.ready]
        assert refused
        for (_, peer), task in zip(pairs, tasks, strict=True):
            peer.sendall(b"x" if task not in refused else b"")
        for task in refused:
            with pytest.raises(OSError, match="select"):
                driver.finish(task)
        assert driver.finish(*(task for task in tasks if task not in refused))
        for _, peer in pairs:
            peer.close()
        return
    assert driver.poller.stats().parked == 1200
    for number, (_, peer) in enumerate(pairs):
        peer.sendall(b"%d" % number)
    assert [int(data) for data in driver.finish(*tasks)] == list(range(1200))
    for _, peer in pairs:
        peer.close()


def test_stats(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        stats = driver.poller.stats()
        assert (stats.attached, stats.parked) == (1, 1)
        peer.sendall(b"x")
        driver.finish(task)
        after = driver.poller.stats()
        assert after.parked == 0
        assert after.polls > stats.polls
        assert after.events > stats.events


def test_names_and_descriptor(driver: Driver) -> None:
    assert driver.poller.name in repr(driver.poller)
    if driver.poller.name in ("select", "simulated"):
        with pytest.raises(OSError, match="no descriptor"):
            driver.poller.fileno()
    else:
        assert driver.poller.fileno() >= 0


def test_describe_says_what_goes_on(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.recv(10)))
        assert f"recv on fd {handle.fileno()}" in task.waiting_on.describe()
        assert "recv" in repr(task.waiting_on)


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_there_is_once_is_not_copied(driver: Driver, make_copy: Callable[[object], object]) -> None:
    handle, peer = driver.half()
    with peer:
        for it in (driver.poller, handle, handle.reading, handle.writing):
            with pytest.raises(TypeError):
                make_copy(it)
