"""A cancel, or an outer deadline, is never lost: scopes that were left, lines, joins, groups, waits ended twice."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from socket2 import (
    TCP,
    AddressList,
    Cancelled,
    Event,
    Server,
    Thread,
    addr,
    between_requests,
    connect,
    currentthread,
    luasocket,
    newthread,
    run,
    sleep,
    tcp,
    threadset,
    timeout,
)
from socket2.threads import turns, wait
from socket2.threads.thread import all_ended

from ..interop.peers import LIMIT_S, swallowing

Steps = Generator[Any, Any, Any]


def test_what_has_left_its_scope_is_over() -> None:
    def main() -> Steps:
        for _ in range(3):
            with pytest.raises(TimeoutError), timeout(100), timeout(0):
                try:
                    yield from sleep(100)
                finally:
                    yield from sleep(0)
        yield from sleep(0)
        assert currentthread().scheduler.interruptions.known == {}

    run(main)


def test_a_cleanup_may_wait() -> None:
    def main() -> Steps:
        trail = []

        def program() -> Steps:
            try:
                yield from Event().wait(timeout_s=100)
            finally:
                yield from sleep(0)
                with timeout(100):
                    yield from sleep(0)
                trail.append("cleaned up")

        thread = newthread(program)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert trail == ["cleaned up"]
        assert currentthread().scheduler.interruptions.known == {}

    run(main)


def test_equal_deadlines_are_the_outer_ones() -> None:
    def main() -> Steps:
        outer, inner = timeout(0), timeout(0)
        with pytest.raises(TimeoutError):
            with outer:
                try:
                    with inner:
                        yield from sleep(100)
                except TimeoutError:
                    pass
                yield from sleep(100)
        assert outer.expired

    run(main)


def test_leaving_a_line_of_turns_compares_with_nobody() -> None:
    compared = 0

    class Counted:
        """An operation, as a line of turns knows it."""

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = object.__hash__

        def __iter__(self) -> Steps:
            yield from sleep(0.001)

        __await__ = __iter__

        def close(self) -> None: ...

    def main() -> Steps:
        line = turns.Turns()
        first, *others = [newthread(line.through, "turn", Counted()) for _ in range(101)]
        for thread in reversed(others):
            thread.cancel()
        for thread in others:
            with pytest.raises(Cancelled):
                yield from thread.join()
        yield from first.join()

    run(main)
    assert compared <= 100


def test_leaving_a_join_compares_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    class Counted(wait.Join):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = wait.Join.__hash__

    monkeypatch.setattr("socket2.threads.thread.Join", Counted)

    def main() -> Steps:
        joined = newthread(Event().wait)
        threads = [newthread(joined.join) for _ in range(100)]
        for thread in [*reversed(threads[50:]), *threads[:50]]:
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        joined.cancel()
        with pytest.raises(Cancelled):
            yield from joined.join()

    run(main)
    assert compared <= 200


def test_a_loop_of_failing_groups_does_not_lose_a_cancel_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[str] = []
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: crashes.append(str(error)))
    rounds = 0

    def fail(event: Event) -> Steps:
        yield from event.wait()
        raise ValueError(f"in round {rounds}")

    def program() -> Steps:
        nonlocal rounds
        while rounds < 10:
            rounds += 1
            event = Event()
            try:
                with threadset() as ts:
                    ts.newthread(fail, event)
                    try:
                        yield from sleep(100)
                    finally:
                        event.set()
                        yield from sleep(100)
            except ValueError:
                continue

    def main() -> Steps:
        looping = newthread(program)
        looping.cancel()
        with pytest.raises(Cancelled):
            yield from looping.join()

    run(main)
    assert rounds == 2
    assert crashes == ["in round 2"]


def test_who_waits_for_all_to_end_does_so_whatever_comes() -> None:
    trail: list[str] = []

    def slow() -> Steps:
        try:
            yield from sleep(100)
        finally:
            for _ in range(10):
                yield from sleep(0)
            trail.append("ended")

    def program(threads: list[Thread[object]]) -> Steps:
        with timeout(100) as block:
            blocks.append(block)
            try:
                yield from all_ended(threads)
            except Cancelled:
                trail.append("first")
                yield from sleep(0)

    blocks: list[timeout] = []

    def main() -> Steps:
        threads = [newthread(slow) for _ in range(3)]
        waiting = newthread(program, threads)
        for one in threads:
            one.cancel()
        yield from sleep(0)
        blocks[0].arm(0)
        yield from sleep(0)
        waiting.cancel()
        with pytest.raises(Cancelled):
            yield from waiting.join()

    run(main)
    assert trail == ["ended"] * 3 + ["first"]


def test_who_is_to_wait_for_no_request_any_more_is_told_again() -> None:
    trail: list[str] = []

    def handler(conn: TCP) -> Steps:
        with suppress(TimeoutError):
            try:
                with between_requests():
                    yield from conn.recv(100)
            finally:
                with timeout(0.001):
                    yield from sleep(100)
        trail.append("went on")
        yield from sleep(LIMIT_S)

    def main() -> Steps:
        server = Server(handler, first_request_s=0)
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(server.addresses[0])
            while not server.connections:
                yield from sleep(0)
            begun = monotonic()
            assert (yield from server.stop(LIMIT_S)) == 0
            assert monotonic() - begun < LIMIT_S / 2

    run(main)
    assert trail == ["went on"]


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("cancels", [2, 3])
def test_a_select_that_is_cancelled_twice_is_in_no_direction(turns: int, cancels: int) -> None:
    def main() -> Steps:
        ours, theirs = socket.socketpair()
        with theirs, luasocket.unix() as sock:
            sock.setfd(ours.detach())
            selecting = newthread(luasocket.select([sock], [], 100))
            for _ in range(turns):
                yield from sleep(0)
            for _ in range(cancels):
                selecting.cancel()
                yield from sleep(0)
            with pytest.raises(Cancelled):
                yield from selecting.join()
            theirs.sendall(b"x")
            assert (yield from luasocket.select([sock], [], 100))[0] == [sock]

    run(main)


@pytest.mark.parametrize("turns", range(8))
def test_a_connect_that_is_cancelled_twice_leaves_nothing(turns: int) -> None:
    def main() -> Steps:
        with swallowing() as hole, tcp() as listener:
            listener.listen("127.0.0.1", 0)
            places = [addr("127.0.0.1", port) for port in (hole, listener.getsockname()[1], hole)]
            found: list[Any] = []
            for place in places:
                found += yield from place
            connecting = newthread(connect(AddressList(found), delay_s=0))
            for _ in range(turns):
                yield from sleep(0)
            for _ in range(3):
                connecting.cancel()
                yield from sleep(0)
            with suppress(Cancelled):
                (yield from connecting.join()).close()
            assert len(currentthread().scheduler.threads) == 1

    run(main)
