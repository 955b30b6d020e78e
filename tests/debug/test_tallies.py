"""What the threads of each kind have done: starts, turns, the time they ran, and their slowest turns."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import socket2
from socket2 import TCP, Server, debug, newthread, run, sleep, tcp
from socket2.debug import history
from socket2.debug.history import Tally

Steps = Generator[Any, Any, Any]


@pytest.fixture(autouse=True)
def debugging() -> Iterator[None]:
    history.tallies.clear()
    debug.enable(slow_s=None, signum=None, serve=False)
    yield
    debug.disable()
    history.tallies.clear()


def kinds() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(debug.report("facts"))["kinds"]
    return {name.rpartition(".")[2]: kind for name, kind in told.items()}


def test_threads_of_one_function_are_counted_together() -> None:
    def worker(waits: int) -> Steps:
        for _ in range(waits):
            yield from sleep(0)

    async def other() -> None:
        await sleep(1000)

    def main() -> Steps:
        threads = [newthread(worker, n, name=f"worker number {n}") for n in range(1, 4)]
        waiting = newthread(other)
        for thread in threads:
            yield from thread.join()
        told = kinds()
        assert (told["worker"]["alive"], told["worker"]["started"], told["worker"]["turns"]) == (0, 3, 1 + 2 + 3 + 3)
        assert (told["other"]["alive"], told["other"]["waiting"], told["other"]["started"]) == (1, 1, 1)
        assert told["main"]["alive"] == 1
        waiting.cancel()
        yield from sleep(0)

    run(main)


def test_the_handlers_of_a_server_have_its_name() -> None:
    """So that requests and threads are in one row."""

    def handler(conn: TCP) -> Steps:
        with socket2.between_requests():
            yield from conn.recv(1)
        seen.append(kinds())

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(server.addresses[0])
            yield from client.sendall(b"x")
            while not seen:
                yield from sleep(0.001)
        facts = json.loads(debug.report("facts"))
        names = [told["server"] for told in facts["servers"]]
        assert names == [handler.__qualname__]
        assert facts["servers"][0]["requests"] == facts["servers"][0]["accepted"] == 1
        assert handler.__qualname__ in facts["kinds"]
        yield from server.stop(0)
        assert not json.loads(debug.report("facts"))["servers"]

    seen: list[dict[str, Any]] = []
    run(main)
    assert seen[0]["handler"]["alive"] == 1


def test_the_slowest_turn_is_that_of_the_last_ten_to_twenty_seconds() -> None:
    def place() -> Steps:
        yield

    coro = place()
    next(coro)
    tally = Tally()
    line = place.__code__.co_firstlineno + 1
    for began, took_s in ((100.0, 0.1), (101.0, 0.5), (104.0, 0.2)):
        tally.note(began, took_s, coro)
    assert tally.slowest(105.0)[0] == 0.5
    assert str(tally.slowest(105.0)[1]) == f"{__file__}:{line}"
    tally.note(112.0, 0.1, coro)
    assert tally.slowest(113.0)[0] == 0.5, "of the window before"
    tally.note(123.0, 0.05, coro)
    assert tally.slowest(124.0)[0] == 0.1
    assert tally.slowest(200.0) == (0.0, None)
    assert tally.ran_s == pytest.approx(0.95)
    coro.close()


def test_the_number_of_kinds_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_KINDS_MAX", 3)

    def named(name: str) -> Any:
        def func() -> Steps:
            yield from sleep(0)

        func.__qualname__ = name
        return func

    def main() -> Steps:
        for n in range(10):
            yield from newthread(named(f"name {n}")).join()

    run(main)
    assert len(history.tallies) == 4
    assert kinds()["(others)"]["started"] == 8


def test_a_first_step_counts_for_the_new_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(history, "monotonic", lambda: clock[0])

    def innermost() -> Steps:
        clock[0] += 4
        yield from sleep(0)
        clock[0] += 0.5

    async def inner() -> None:
        clock[0] += 2
        newthread(innermost)
        clock[0] += 8

    def outer() -> Steps:
        clock[0] += 1
        newthread(inner)
        clock[0] += 16
        yield from newthread(inner).join()
        yield from sleep(0)

    run(outer)
    told = kinds()
    assert told["outer"]["ran_s"] == 17
    assert told["inner"]["ran_s"] == 20
    assert told["innermost"]["ran_s"] == 9
    assert history.running == {}


def test_a_turn_whose_end_was_interrupted_does_not_count_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a signal handler that raises before the end is noted."""
    clock = [100.0]
    monkeypatch.setattr(history, "monotonic", lambda: clock[0])

    def fails() -> Steps:
        yield from sleep(0)

    class Raised(BaseException):
        pass

    def raises(times: history.Times) -> None:
        raise Raised

    def main() -> Steps:
        clock[0] += 1
        yield from sleep(0)

    with monkeypatch.context() as patched:
        patched.setattr(history.Times, "end", raises)
        with pytest.raises(Raised):
            run(fails)
    assert len(history.running) == 1
    run(main)
    assert history.running == {}
