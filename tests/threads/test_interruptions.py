"""Cancels and deadlines where they meet: each other, results, and threads that never have to wait."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest

import socket2
from socket2 import (
    Cancelled,
    Thread,
    newthread,
    run,
    sleep,
    start,
    tcp,
    timeout,
)

Steps = Generator[Any, Any, Any]


def pause(seconds: float = 0) -> Steps:
    yield from sleep(seconds)


def stall(seconds: float) -> None:
    """Block the whole loop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def pair() -> Steps:
    with tcp() as listener:
        listener.listen(False)
        client = tcp()
        yield from client.connect(listener.getsockname())
        return client, (yield from listener.accept())


def ended(thread: Thread[object]) -> Steps:
    with pytest.raises(Cancelled):
        yield from thread.join()


# Threads that never have to wait.


def test_a_deadline_reaches_a_thread_whose_peer_floods_it() -> None:
    def flood(conn: socket2.TCP) -> Steps:
        while True:
            yield from conn.sendall(bytes(1 << 16))

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            flooding = newthread(flood, client)
            begun = time.monotonic()
            with pytest.raises(TimeoutError), timeout(0.1):
                while time.monotonic() - begun < 10:
                    yield from server.recv(256)
            assert time.monotonic() - begun < 5
            flooding.cancel()
            yield from ended(flooding)

    run(main)


def test_a_cancel_reaches_a_thread_that_only_lets_others_run() -> None:
    def looper() -> Steps:
        while True:
            yield from sleep(0)

    def main() -> Steps:
        thread = newthread(looper)
        yield from sleep(0.01)
        assert thread.cancel()
        yield from ended(thread)

    run(main)


def test_a_cancelled_flood_loses_nothing() -> None:
    """The interrupted receive has taken nothing: the next receive gets the next data."""

    def writer(conn: socket2.TCP, data: bytes) -> Steps:
        yield from conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)

    def main() -> Steps:
        data = b"".join(b"%07d\n" % number for number in range(20000))
        client, server = yield from pair()
        with client, server:
            writing = newthread(writer, client, data)
            got = bytearray()
            ends = False
            while not ends:
                try:
                    with timeout(0.0001):
                        while block := (yield from server.recv(100)):
                            got += block
                        ends = True
                except TimeoutError:
                    pass
            yield from writing.join()
            assert bytes(got) == data

    run(main)


def test_an_accept_loop_with_a_full_queue_lets_others_run() -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0, 128)
            clients = [socket.create_connection(listener.getsockname()) for _ in range(100)]
            turns = []

            def ticker() -> Steps:
                while True:
                    turns.append(len(accepted))
                    yield from sleep(0)

            def handler(conn: socket2.TCP) -> Steps:
                with conn:
                    yield from conn.recv(1)

            accepted: list[Thread[object]] = []
            ticking = newthread(ticker)
            while len(accepted) < len(clients):
                accepted.append(newthread(handler, (yield from listener.accept())))
            assert max(b - a for a, b in pairwise(turns)) <= 64
            for client in clients:
                client.close()
            for thread in accepted:
                yield from thread.join()
            ticking.cancel()
            yield from ended(ticking)

    run(main)


# Several at once.


def test_two_deadlines_that_are_due_in_one_turn_are_both_delivered() -> None:
    def main() -> Steps:
        newthread(staller)
        with pytest.raises(TimeoutError, match=r"0\.03"), timeout(0.03):
            with pytest.raises(TimeoutError, match=r"0\.02"), timeout(0.02):
                yield from sleep(0.01)
                yield from sleep(1000)
            yield from sleep(1000)

    def staller() -> Steps:
        yield from sleep(0.005)
        stall(0.05)

    run(main)


def test_a_cancel_is_not_lost_to_a_deadline_that_was_first() -> None:
    def victim() -> Steps:
        with timeout(0.02):
            yield from sleep(0.01)  # it is over, as is the deadline, before the thread runs again
        yield from sleep(1000)

    def main() -> Steps:
        thread = newthread(victim)
        yield from sleep(0.001)
        stall(0.05)
        yield from sleep(0)
        thread.cancel()
        yield from ended(thread)

    run(main)


def test_cancelling_twice_before_it_is_delivered_is_once() -> None:
    trail = []

    def victim() -> Steps:
        try:
            yield from sleep(1000)
        except Cancelled:
            trail.append("cancelled")
        yield from sleep(0.001)
        trail.append("done")

    def main() -> Steps:
        thread = newthread(lambda: victim())
        me = newthread(canceller, thread)
        yield from me.join()
        yield from thread.join()

    def canceller(thread: Thread[object]) -> Steps:
        thread.cancel()
        yield from sleep(0)

    run(main)
    assert trail == ["cancelled", "done"]


# Joins.


def test_an_exception_is_reported_when_its_joiner_gave_up_in_the_same_turn(caplog: pytest.LogCaptureFixture) -> None:
    def child() -> Steps:
        yield from sleep(0.02)
        raise LookupError("seen somewhere")

    def main() -> Steps:
        thread = newthread(child)
        newthread(staller)
        try:
            with timeout(0.015):
                yield from thread.join()
        except (TimeoutError, LookupError) as error:
            return error

    def staller() -> Steps:
        yield from sleep(0.005)
        stall(0.05)

    outcome = run(main)
    start()
    assert isinstance(outcome, LookupError) or "seen somewhere" in caplog.text


def test_what_main_raises_after_run_was_left_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> Steps:
        socket2.stop()
        yield from sleep(0.001)
        raise LookupError("later")

    with pytest.raises(RuntimeError, match="stop"):
        run(main)
    start()
    assert "LookupError: later" in caplog.text


def test_joining_again_does_not_grow_the_traceback() -> None:
    def child() -> Steps:
        raise LookupError
        yield

    def length(error: BaseException) -> int:
        at, count = error.__traceback__, 0
        while at is not None:
            at, count = at.tb_next, count + 1
        return count

    def main(thread: Thread[object]) -> Steps:
        lengths = set()
        for _ in range(10):
            try:
                yield from thread.join()
            except LookupError as error:
                lengths.add(length(error))
        return lengths

    assert len(run(main, newthread(child))) == 1


def test_long_chains_of_joins_are_cheap() -> None:
    def link(previous: Thread[object] | None) -> Steps:
        if previous is None:
            yield from sleep(0)
        else:
            yield from previous.join()

    thread: Thread[object] | None = None
    for _ in range(2000):
        thread = newthread(link, thread)
    assert len(repr(thread)) < 500
    start()
