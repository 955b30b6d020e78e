"""Events, locks, semaphores, queues: first come, first served, and no cancel ever eats a wake-up or an item."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    CapacityLimiter,
    Event,
    Lock,
    Operation,
    RLock,
    Semaphore,
    Thread,
    WouldBlock,
    newthread,
    run,
    runafter,
    sleep,
    threadset,
)
from socket2.threads.line import Line
from socket2.threads.lock import lock
from socket2.threads.member import current_member

from ..interop.peers import LIMIT_S, OSThread

Steps = Generator[Any, Any, Any]


def noting(trail: list[Any], name: Any, make: Callable[[], Operation[Any]]) -> Steps:
    """Wait, and note the name, or the name and the item."""
    got = yield from make()
    trail.append(name if got is None else (name, got))


def line_of(trail: list[Any], count: int, make: Callable[[], Operation[Any]]) -> list[Thread[object]]:
    return [newthread(noting, trail, at, make) for at in range(count)]


def ends(*threads: Thread[object]) -> Steps:
    for thread in threads:
        try:
            yield from thread.join()
        except Cancelled:
            pass


# Events.


def test_an_event_wakes_all_in_order_and_stays_set() -> None:
    def main() -> Steps:
        event, trail = Event(), list[Any]()
        threads = line_of(trail, 3, event.wait)
        yield from sleep(0)
        assert not trail
        assert not event.is_set()
        event.set()
        event.set()
        yield from ends(*threads)
        assert trail == [0, 1, 2]
        yield from event.wait()
        event.clear()
        with pytest.raises(TimeoutError):
            yield from event.wait(0.001)

    run(main)


def test_an_event_set_and_cleared_at_once_wakes_who_waited() -> None:
    def main() -> Steps:
        event, trail = Event(), list[Any]()
        threads = line_of(trail, 2, event.wait)
        event.set()
        event.clear()
        yield from ends(*threads)
        assert trail == [0, 1]

    run(main)


def test_a_signal_handler_may_set_an_event() -> None:
    event = Event()
    previous = signal.signal(signal.SIGUSR2, lambda *_: event.set())

    def main() -> Steps:
        runafter(0.005, os.kill, os.getpid(), signal.SIGUSR2)
        yield from event.wait(20)

    try:
        run(main)
    finally:
        signal.signal(signal.SIGUSR2, previous)


def test_a_signal_handler_may_release_a_semaphore() -> None:
    semaphore = Semaphore(0)
    previous = signal.signal(signal.SIGUSR2, lambda *_: semaphore.release())

    def main() -> Steps:
        runafter(0.005, os.kill, os.getpid(), signal.SIGUSR2)
        yield from semaphore.acquire(20)

    try:
        run(main)
    finally:
        signal.signal(signal.SIGUSR2, previous)


def test_an_os_thread_may_set_an_event_and_release_a_semaphore() -> None:
    """It does not serve the scheduler, and no thread waits for anything else."""
    event, semaphore = Event(), Semaphore(0)

    def outside() -> None:
        event.set()
        semaphore.release()

    def main() -> Steps:
        os_thread = threading.Thread(target=outside)
        waiters = [newthread(event.wait), newthread(semaphore.acquire)]
        os_thread.start()
        yield from ends(*waiters)
        os_thread.join()
        assert [waiter.error for waiter in waiters] == [None, None]

    run(main)


# Locks and semaphores.


def test_a_lock_is_held_by_one_at_a_time_in_the_order_they_came() -> None:
    def main() -> Steps:
        lock, trail = Lock(), list[Any]()

        def generator(name: int) -> Steps:
            with (yield from lock.acquire()):
                trail.append(name)
                yield from sleep(0.001)
                trail.append(name)

        async def coroutine(name: int) -> None:
            async with lock:
                trail.append(name)
                await sleep(0.001)
                trail.append(name)

        with threadset() as ts:
            for name in range(6):
                ts.newthread(coroutine if name % 2 else generator, name)
            assert lock.locked()
            yield from ts.join()
        assert trail == [name for name in range(6) for _ in range(2)]
        assert not lock.locked()

    run(main)


def test_a_lock_is_its_holders() -> None:
    def main() -> Steps:
        lock = Lock()
        with pytest.raises(RuntimeError, match="only the thread that holds"):
            lock.release()
        yield from lock.acquire()
        with pytest.raises(RuntimeError, match="already holds this lock"):
            yield from lock.acquire()
        with pytest.raises(RuntimeError, match="only the thread that holds"):
            yield from newthread(lock.release).join()
        lock.release()

    run(main)


def test_a_lock_is_released_when_the_block_fails_or_is_cancelled() -> None:
    def main() -> Steps:
        lock = Lock()

        def holder(make: Callable[[], Any]) -> Steps:
            with (yield from lock.acquire()):
                yield from make()

        thread = newthread(holder, lambda: sleep(1000))
        thread.cancel()
        yield from ends(thread)
        assert not lock.locked()
        with pytest.raises(ZeroDivisionError):
            yield from newthread(holder, lambda: 1 / 0).join()
        assert not lock.locked()

    run(main)


def test_a_semaphore_lets_so_many_in() -> None:
    def main() -> Steps:
        semaphore = Semaphore(3)
        inside = most = 0

        def worker() -> Steps:
            nonlocal inside, most
            with (yield from semaphore.acquire()):
                inside += 1
                most = max(most, inside)
                yield from sleep(0.001)
                inside -= 1

        with threadset() as ts:
            for _ in range(10):
                ts.newthread(worker)
            yield from ts.join()
        assert most == 3

    run(main)
    with pytest.raises(ValueError, match="must not be negative"):
        Semaphore(-1)


@pytest.mark.parametrize("make", [Lock, RLock, lambda: Semaphore(1), lambda: CapacityLimiter(1)])
def test_what_acquire_returns_is_a_block_for_one_time(make: Callable[[], Any]) -> None:
    """A second release would add a permit, or release what the thread has acquired again."""

    def main() -> Steps:
        shared = make()
        held = yield from shared.acquire()
        with held, pytest.raises(RuntimeError, match="can be entered once"):
            held.__enter__()
        again = yield from shared.acquire()
        with pytest.raises(RuntimeError, match="can be entered once"):
            held.__enter__()
        with pytest.raises(RuntimeError, match="already released"):
            held.__exit__(None, None, None)
        with pytest.raises(WouldBlock):
            yield from newthread(shared.acquire_nowait).join()
        with again:
            pass
        with shared.acquire_nowait():
            pass

    run(main)


def test_a_lock_says_that_its_holder_has_ended() -> None:
    def main() -> Steps:
        lock = Lock()
        holder = newthread(lock.acquire, name="holder")
        yield from holder.join()
        assert repr(lock) == "<Lock, held by 'holder', which has ended, 0 waiting>"

    run(main)


def test_a_permit_is_not_taken_by_who_comes_later() -> None:
    """The first waiter has the permit from the moment of the release, although it has not run yet."""

    def main() -> Steps:
        semaphore, trail = Semaphore(0), list[Any]()
        first = newthread(noting, trail, "first", lambda: semaphore.acquire())
        semaphore.release()
        with pytest.raises(TimeoutError):
            yield from semaphore.acquire(0)
        yield from ends(first)
        assert [name for name, _ in trail] == ["first"]

    run(main)


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_cancelled_waiter_leaves_the_line(end: str) -> None:
    def main() -> Steps:
        lock, trail = Lock(), list[Any]()
        yield from lock.acquire()

        def waiter(name: int, seconds: float | None) -> Steps:
            with (yield from lock.acquire(seconds)):
                trail.append(name)

        threads = [newthread(waiter, at, 0.005 if at == 1 and end == "timeout" else None) for at in range(3)]
        if end == "cancel":
            threads[1].cancel()
            lock.release()  # while the cancelled one is still in the queue
            yield from ends(*threads)
        else:
            with pytest.raises(TimeoutError):
                yield from threads[1].join()
            lock.release()
            yield from ends(threads[0], threads[2])
        assert trail == [0, 2]
        assert not lock.locked()

    run(main)


def test_who_was_woken_and_is_cancelled_then_has_it_all_the_same() -> None:
    def main() -> Steps:
        semaphore, trail = Semaphore(0), list[Any]()

        def waiter() -> Steps:
            with (yield from semaphore.acquire()):
                trail.append("inside")
                yield from sleep(1000)

        thread = newthread(waiter)
        semaphore.release()
        thread.cancel()
        yield from ends(thread)
        assert trail == ["inside"]
        yield from semaphore.acquire(0)  # and the permit was given back

    run(main)


def test_a_wake_up_is_passed_on_when_the_generator_is_closed() -> None:
    def main() -> Steps:
        semaphore, trail = Semaphore(0), list[Any]()
        dropped = semaphore.acquire().__iter__()
        wait = next(dropped)
        second = newthread(noting, trail, "second", lambda: semaphore.acquire())
        semaphore.release()
        assert wait.done
        dropped.close()
        yield from ends(second)
        assert [name for name, _ in trail] == ["second"]

    run(main)


@pytest.mark.parametrize("had_a_loop", [True, False])
def test_a_handler_in_the_middle_of_a_change_leaves_it_to_a_loop_that_runs(had_a_loop: bool) -> None:
    """The loop of its own OS thread may have ended for good, or there may have been none."""
    event, parked = Event(), threading.Event()

    def main() -> Steps:
        thread = newthread(event.wait)
        parked.set()
        yield from thread.join()

    def waiting() -> None:
        run(main)
        current_member().close()

    def changing() -> None:
        if had_a_loop:
            run(sleep, 0)
        with lock:
            event.set()
            assert len(event._line) == 1  # not in the middle
        if had_a_loop:
            current_member().close()

    waits = OSThread(waiting)
    waits.start()
    assert parked.wait(LIMIT_S)
    changes = OSThread(changing)
    changes.start()
    changes.outcome()
    waits.outcome()


def test_a_line_that_changes_meanwhile_has_a_length() -> None:
    """Another OS thread may change it while repr() or the debugger counts the places."""
    line = Line()

    class Leaving:
        @property
        def done(self) -> bool:
            line.places.clear()
            return False

    for place in (Leaving(), Leaving()):
        line.places[place] = None  # type: ignore[index]
    assert len(line) == 2
