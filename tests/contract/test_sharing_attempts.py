"""One poller in several OS threads: what comes in the middle of an attempt, races, and fairness."""

from __future__ import annotations

import errno
import os
import random
import socket
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pollers import STREAK_MAX, Cancelled, Closed, lock

from . import test_sharing
from .driver import PATIENCE_S, Driver, does, tcp_pair
from .kinds import make
from .test_sharing import (
    OSThread,
    Polling,
    Slow,
    a_fair_chance,
    end_of,
    is_open,
    let_others_run,
    pauses_inside_a_call,
    polling,
)

shared = test_sharing.shared


# During an attempt.


def connecting(driver: Driver, sock: Slow, address: Any) -> tuple[Any, Any, Any]:
    handle = driver.attach(sock)
    steps = iter(handle.connect(address))
    direction = next(steps)
    assert direction.park("connecting") is False
    return handle, steps, direction


@pauses_inside_a_call
def test_cancelled_in_the_middle_of_an_attempt_that_comes_to_nothing(shared: Driver) -> None:
    """Either cancel() returns True, or the poller ends the operation: it does not keep waiting."""
    _, address = shared.listener()
    sock = Slow()
    sock.returns = errno.EALREADY
    _, steps, direction = connecting(shared, sock, address)
    error = Cancelled("by the test")
    with polling(shared) as poll:
        sock.wait_until_entered()
        canceller = OSThread(lambda: direction.cancel(error))
        a_fair_chance()
        sock.may_go.set()
        if not canceller.outcome():
            poll.wait_for("connecting")
    with pytest.raises(Cancelled) as caught:
        next(steps)
    assert caught.value is error
    assert "connecting" not in poll.returned or poll.returned == ["connecting"]


@pauses_inside_a_call
def test_cancelled_in_the_middle_of_an_attempt_that_succeeds(shared: Driver) -> None:
    """A finished operation is delivered."""
    _, address = shared.listener()
    sock = Slow()
    _, steps, direction = connecting(shared, sock, address)
    with polling(shared) as poll:
        sock.wait_until_entered()
        canceller = OSThread(lambda: direction.cancel(Cancelled("by the test")))
        a_fair_chance()
        sock.may_go.set()
        assert canceller.outcome() is False
        poll.wait_for("connecting")
    assert end_of(steps) is None
    assert poll.returned == ["connecting"]


@pytest.mark.parametrize("returns", [None, errno.EALREADY, errno.ECONNREFUSED])
@pauses_inside_a_call
def test_closed_in_the_middle_of_an_attempt(shared: Driver, returns: int | None) -> None:
    """The descriptor is closed after the attempt, which could otherwise continue with another socket of that number."""
    _, address = shared.listener()
    sock = Slow()
    sock.returns = returns
    handle, steps, _ = connecting(shared, sock, address)
    fd = sock.fileno()
    with polling(shared) as poll:
        sock.wait_until_entered()
        closer = OSThread(handle.close)
        a_fair_chance()
        sock.may_go.set()
        closer.outcome()
        poll.wait_for("connecting")
    assert sock.open_after == [True]
    assert handle.fileno() == -1
    assert sock.fileno() == -1
    assert not is_open(fd)
    if returns is None:
        assert end_of(steps) is None
    else:
        with pytest.raises((Closed, ConnectionRefusedError)):  # the one that came first
            next(steps)
    assert poll.returned == ["connecting"]
    with pytest.raises(Closed):
        next(iter(handle.wait_writable()))


@pauses_inside_a_call
def test_closed_in_the_middle_of_a_first_attempt(shared: Driver) -> None:
    _, address = shared.listener()
    sock = Slow()
    sock.pausing_at = 1
    sock.returns = errno.EALREADY
    handle = shared.attach(sock)
    fd = sock.fileno()
    steps = iter(handle.connect(address))
    stepper = OSThread(lambda: next(steps))
    sock.wait_until_entered()
    closer = OSThread(handle.close)
    a_fair_chance()
    sock.may_go.set()
    closer.outcome()
    direction = stepper.outcome()
    assert sock.open_after == [True]
    assert not is_open(fd)
    assert direction.park("waiter") is True
    with pytest.raises(Closed):
        next(steps)


@pauses_inside_a_call
def test_what_is_done_in_the_other_direction_meanwhile(shared: Driver) -> None:
    """A receive begins, is cancelled and ends during an attempt of the other direction."""
    _, address = shared.listener()
    sock = Slow()
    handle, steps, _ = connecting(shared, sock, address)
    with polling(shared) as poll:
        sock.wait_until_entered()

        def receive_and_cancel() -> None:
            receiving = iter(handle.wait_readable())
            try:
                direction = next(receiving)
                if not direction.park("receiving") and not direction.cancel(Cancelled("by the test")):
                    poll.wait_for("receiving")
                next(receiving)
            except (Cancelled, StopIteration):
                pass

        receiver = OSThread(receive_and_cancel)
        a_fair_chance()
        sock.may_go.set()
        receiver.outcome()
        poll.wait_for("connecting")
    assert end_of(steps) is None


# Races that cannot be timed exactly: many rounds, and each outcome is accounted for.


def test_a_message_and_a_cancel_race(shared: Driver) -> None:
    chosen = random.Random(4)
    handle, peer = shared.half()
    with peer, polling(shared) as poll:
        for number in range(300):
            steps = iter(handle.recv(100))
            message = b"%d" % number
            waiter = object()
            try:
                direction = next(steps)
                sender = OSThread(partial(peer.sendall, message))
                if not direction.park(waiter):
                    for _ in range(chosen.randrange(30)):
                        let_others_run()
                    if not direction.cancel(Cancelled("by the test")):
                        poll.wait_for(waiter)
                sender.outcome()
                assert end_of(steps) == message
            except Cancelled:
                assert waiter not in poll.returned
                assert received(handle, poll) == message
    assert len(poll.returned) == len(set(poll.returned))


@pytest.mark.parametrize("n", [100, 1 << 20])
def test_a_step_and_a_cancel_race_for_what_has_come(shared: Driver, n: int) -> None:
    """poll() has returned the waiter after one that has received much. Now it is resumed and cancelled at once."""
    handle, peer = shared.half()
    large, flood = shared.half("unix")
    data = bytes(90_000)
    with peer, flood:
        for _ in range(200):
            tasks = [shared.spawn(does(large.recv(1 << 20))), shared.spawn(does(handle.recv(n)))]
            direction = tasks[1].waiting_on
            flood.sendall(data)
            peer.sendall(b"data")
            finished: list[Any] = []
            while tasks[1] not in finished:
                finished += shared.poller.poll(PATIENCE_S)
            canceller = OSThread(partial(cancel_under_lock, direction))
            let_others_run()
            shared.step(tasks[1])
            assert canceller.outcome() is False
            assert tasks[1].done
            if isinstance(tasks[1].error, Cancelled):
                assert shared.run(does(handle.recv(n))) == b"data"
            else:
                assert tasks[1].outcome() == b"data"
            if tasks[0] in finished:
                shared.step(tasks[0])
            got = shared.finish(tasks[0])[0]
            while len(got) < len(data):
                got += shared.run(does(large.recv(1 << 20)))


def cancel_under_lock(direction: Any) -> bool:
    with lock:
        return bool(direction.cancel(Cancelled("by the test")))


def received(handle: Any, poll: Polling) -> bytes:
    steps = iter(handle.recv(100))
    waiter = object()
    try:
        if not next(steps).park(waiter):
            poll.wait_for(waiter)
        next(steps)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("resumed, and waits on")


def test_a_long_send_is_cancelled_while_it_goes_on(shared: Driver) -> None:
    """Its attempts copy much and may release the GIL: no cancel is forgotten, and bytes_sent is right."""
    chosen = random.Random(4)
    data = bytes(8 << 20)
    with polling(shared) as poll:
        for _ in range(40):
            one, other = tcp_pair()
            other.settimeout(PATIENCE_S)
            handle = shared.attach(one)
            steps = iter(handle.sendall(data))
            direction = next(steps)
            while direction.park(waiter := object()):  # it may take several turns before it waits
                direction = next(steps)
            reader = OSThread(partial(receive_some, other))
            for _ in range(chosen.randrange(100)):
                let_others_run()
            error = Cancelled("by the test")
            sent = None
            try:
                while True:
                    if not direction.cancel(error):
                        poll.wait_for(waiter)
                    # As in a scheduler, a cancel that was too late for this wait is for the next one.
                    while next(steps).park(waiter := object()):
                        pass
            except Cancelled as ended:
                sent = ended.bytes_sent
            handle.close()
            arrived = reader.outcome() + drain(other)
            other.close()
            assert sent == arrived


def test_a_long_send_is_closed_while_it_goes_on(shared: Driver) -> None:
    chosen = random.Random(4)
    for _ in range(40):
        one, other = tcp_pair()
        with other:
            other.settimeout(PATIENCE_S)
            handle = shared.attach(one)
            reader = OSThread(partial(drain, other))
            sender = OSThread(partial(send_until_it_waits, handle, bytes(8 << 20)))
            for _ in range(chosen.randrange(100)):
                let_others_run()
            handle.close()
            with suppress(Closed):
                sender.outcome()
            reader.outcome()
            shared.poller.poll(0)


def send_until_it_waits(handle: Any, data: bytes) -> None:
    steps = iter(handle.sendall(data))
    with suppress(StopIteration):
        while next(steps).park("waiter"):
            pass


def receive_some(sock: socket.socket) -> int:
    return len(sock.recv(1 << 20))


def drain(sock: socket.socket) -> int:
    """Receive to the end of the stream. Return the number of bytes."""
    size = 0
    while piece := sock.recv(1 << 20):
        size += len(piece)
    return size


# Fairness.


def test_each_os_thread_has_its_own_streak(shared: Driver) -> None:
    shared.poller.streak = STREAK_MAX
    assert OSThread(lambda: shared.poller.streak).outcome() == 0

    def exhaust() -> Any:
        shared.poller.streak = STREAK_MAX
        return shared.poller.streak

    shared.poller.streak = 0
    assert OSThread(exhaust).outcome() == STREAK_MAX
    assert shared.poller.streak == 0
    handle, peer = shared.half()
    with peer:
        peer.sendall(b"x")
        assert end_of(iter(handle.recv(1))) == b"x"  # the other OS thread's streak does not delay this one


def test_sharing_begins_with_operations_in_flight(shared: Driver) -> None:
    """share() is called while threads wait. They are served as before."""
    driver = Driver(make(shared.kind), shared.kind)
    try:
        (handle, peer), (full, other) = driver.half(), driver.half()
        with peer, other:
            receiving = driver.spawn(does(handle.recv(100)))
            left = driver.fill(full) + len(b"last")
            sending = driver.spawn(does(full.send(b"last")))
            driver.poller.share()
            with polling(driver) as poll:
                peer.sendall(b"hello")
                poll.wait_for(receiving)
                driver.step(receiving)
                assert receiving.outcome() == b"hello"
                while left:
                    left -= len(other.recv(1 << 20))
                poll.wait_for(sending)
            driver.step(sending)
            assert sending.outcome() == 4
    finally:
        driver.close()


def test_a_poller_that_has_been_shut_down_is_not_shared(driver: Driver) -> None:
    poller = make(driver.kind)
    poller.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        poller.share()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_poller_of_the_parents_is_not_shared(driver: Driver) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            driver.poller.share()
        except RuntimeError as error:
            status = 0 if "after a fork" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
