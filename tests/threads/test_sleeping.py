"""Sleeps, deadlines of blocks, and which block takes which timeout."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, currentthread, newthread, resume, run, sleep, start, suspend, timeout
from socket2.threads.scheduler import current_scheduler

Steps = Generator[Any, Any, Any]


def test_sleep_is_never_shorter() -> None:
    def main() -> Steps:
        for seconds in (0.0003, 0.001, 0.0017, 0.02):
            begun = time.monotonic()
            yield from sleep(seconds)
            assert time.monotonic() >= begun + seconds  # add as the clock does: a difference may round down

    run(main)


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    order = []

    def sleeper(seconds: float) -> Steps:
        yield from sleep(seconds)
        order.append(seconds)

    for seconds in (0.05, 0.01, 0.03, 0.02, 0.04):
        newthread(sleeper, seconds)
    start()
    assert order == [0.01, 0.02, 0.03, 0.04, 0.05]


@pytest.mark.parametrize("wrong", [-1, -0.001, float("nan")])
def test_what_is_no_length_of_time(wrong: float) -> None:
    def main() -> Steps:
        with pytest.raises(ValueError, match="must not be negative"):
            sleep(wrong)
        with pytest.raises(ValueError, match="must not be negative"):
            timeout(wrong)
        with pytest.raises(TypeError):
            sleep("1")  # type: ignore[arg-type]
        yield from sleep(0)

    run(main)


def test_a_block_that_takes_too_long() -> None:
    def main() -> Steps:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"longer than 0\.02 s"), timeout(0.02) as block:
            yield from sleep(1000)
        assert time.monotonic() >= begun + 0.02
        assert block.expired
        yield from sleep(0.001)  # everything is as before

    run(main)


def test_a_block_in_time() -> None:
    def main() -> Steps:
        with timeout(1000) as block:
            yield from sleep(0)
        assert not block.expired
        with timeout(None):
            yield from sleep(0.001)
        assert all(timer.due is None for _, _, timer in current_scheduler().timers.heap)

    run(main)


def test_a_block_that_comes_to_its_end_is_left_in_peace() -> None:
    """The block is late, but nothing had to wait any more: its result is delivered."""

    def main() -> Steps:
        with timeout(1000) as block:
            yield from sleep(0)
            block.arm(0)  # its time is over now
        assert not block.expired
        yield from sleep(0.005)

    run(main)


def test_expired_while_the_result_was_on_its_way() -> None:
    """The suspension is over before the deadline fires, so the next wait inside the block raises."""

    def waits_first() -> Steps:
        me = currentthread()

        def giver(block: timeout) -> Steps:
            yield from sleep(0)
            resume(me, "result")
            block.arm(0)  # its time is over now

        with timeout(1000) as block:
            newthread(giver, block)
            got = yield from suspend()
        assert got == "result"
        with pytest.raises(TimeoutError), timeout(1000) as block:
            newthread(giver, block)
            got = yield from suspend()
            yield from sleep(1000)
        assert got == "result"

    run(waits_first)


def test_the_inner_block_does_not_take_the_outer_ones_timeout() -> None:
    trail = []

    def main() -> Steps:
        try:
            with timeout(0.02):
                try:
                    with timeout(1000):
                        yield from sleep(2000)
                except TimeoutError:
                    trail.append("inner")
                finally:
                    trail.append("cleaned up")
        except TimeoutError:
            trail.append("outer")

    run(main)
    assert trail == ["cleaned up", "outer"]


def test_a_loop_that_swallows_timeouts_cannot_outlive_the_outer_block() -> None:
    def main() -> Steps:
        with pytest.raises(TimeoutError, match=r"0\.03"), timeout(0.03):
            while True:
                try:
                    with timeout(0.001):
                        yield from sleep(1000)
                except TimeoutError:
                    pass

    run(main)


def test_cancel_inside_a_block_is_a_cancel() -> None:
    def worker() -> Steps:
        with timeout(1000):
            yield from sleep(2000)

    def main() -> Steps:
        thread = newthread(worker)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)


def test_a_block_is_entered_once_at_a_time() -> None:
    def main() -> Steps:
        block = timeout(1000)
        with block:
            with pytest.raises(RuntimeError, match="already been entered"):
                block.__enter__()
            yield from sleep(0)
        with block:
            yield from sleep(0)

    run(main)


def test_timers_fire_while_there_is_always_something_to_do() -> None:
    """Two sockets play ping-pong without end: the deadline still fires."""

    def player(conn: socket2.TCP) -> Steps:
        while data := (yield from conn.recv(10)):
            yield from conn.sendall(data)

    def main() -> Steps:
        with socket2.tcp() as listener, socket2.tcp() as client:
            listener.listen("127.0.0.1", 0)
            yield from client.connect(*listener.getsockname())
            server = yield from listener.accept()
            threads = [newthread(player, client), newthread(player, server)]
            begun = time.monotonic()
            yield from client.sendall(b"ball")
            with pytest.raises(TimeoutError), timeout(0.1):
                yield from suspend()
            assert begun + 0.1 <= time.monotonic() < begun + 5
            for thread in threads:
                thread.cancel()
                with pytest.raises(Cancelled):
                    yield from thread.join()
            server.close()

    run(main)


def test_100_000_idle_timeouts_leave_the_heap_small() -> None:
    def main() -> Steps:
        with socket2.udp() as one, socket2.udp() as other:
            one.bind("127.0.0.1")
            other.bind("127.0.0.1")
            yield from one.connect(*other.getsockname())
            yield from other.connect(*one.getsockname())
            other.settimeout(1000)
            one.settimeout(500)
            largest = 0
            heap = current_scheduler().timers.heap
            for _ in range(50_000):
                yield from one.send(b"x")
                yield from other.recv(10)
                largest = max(largest, len(heap))
            for _ in range(50_000):
                with timeout(100):
                    yield from sleep(0)
                largest = max(largest, len(heap))
            assert largest < 1000

    run(main)


def test_a_deadline_is_something_to_wait_for() -> None:
    """Nobody is left to resume the thread, but its deadline will end the wait."""

    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(0.01):
            yield from suspend()

    run(main)
    thread = newthread(main)
    assert start()
    assert thread.done
