"""Every sleep, deadline and timeout uses the poller's clock: with one that is moved by hand a week takes no time."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest

import socket2
from socket2 import (
    Event,
    Queue,
    Server,
    debug,
    luasocket,
    net,
    newthread,
    run,
    runafter,
    runat,
    runevery,
    sleep,
    stream,
    timeout,
)
from socket2.debug import threads as threads_now
from socket2.sockets import eyeballs
from socket2.threads.scheduler import Scheduler, local

from ..handclock import KINDS, STARTS_AT_S, HandClock
from ..interop.peers import ROOT
from ..net.scene import started

Steps = Generator[Any, Any, Any]

WEEK_S = 7 * 86400.0


@pytest.fixture(params=sorted(KINDS))
def clock(request: pytest.FixtureRequest) -> HandClock:
    assert local.scheduler is None
    clock: HandClock = KINDS[request.param]()
    local.scheduler = Scheduler(clock)
    return clock


def passed_s(clock: HandClock) -> float:
    return round(clock.time_s - STARTS_AT_S, 3)


def test_the_loop_says_what_time_it_is(clock: HandClock) -> None:
    assert socket2.now() == STARTS_AT_S
    clock.time_s += 5
    assert socket2.now() == STARTS_AT_S + 5


def test_without_a_clock_of_its_own_it_is_the_monotonic_one() -> None:
    before = time.monotonic()
    assert before <= socket2.now() <= time.monotonic()


def test_sleeps_end_in_the_order_of_their_times(clock: HandClock) -> None:
    log: list[tuple[str, float]] = []

    def sleeper(name: str, seconds: float) -> Steps:
        yield from sleep(seconds)
        log.append((name, passed_s(clock)))

    def main() -> Steps:
        threads = [newthread(sleeper, name, seconds) for name, seconds in (("c", WEEK_S), ("a", 1), ("b", 3600))]
        for thread in threads:
            yield from thread.join()

    run(main)
    assert log == [("a", 1), ("b", 3600), ("c", WEEK_S)]


def test_blocks_and_waits_run_out_of_time(clock: HandClock) -> None:
    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(WEEK_S):
            yield from socket2.suspend()
        assert passed_s(clock) == WEEK_S
        with pytest.raises(TimeoutError):
            yield from Event().wait(60)
        assert passed_s(clock) == WEEK_S + 60
        with pytest.raises(TimeoutError), timeout(30):
            yield from Queue(1).get()
        with timeout(30) as limit:
            yield from sleep(29)
        assert not limit.expired

    run(main)
    assert passed_s(clock) == WEEK_S + 60 + 30 + 29


def test_operations_of_sockets_run_out_of_time(clock: HandClock) -> None:
    def main() -> Steps:
        with socket2.listen("127.0.0.1:0") as listener, (yield from socket2.connect(listener.getsockname())) as conn:
            conn.settimeout(3600)
            with pytest.raises(TimeoutError):
                yield from conn.recv(1)
            assert passed_s(clock) == 3600
            with pytest.raises(TimeoutError):
                yield from stream(conn).recvline()
            assert passed_s(clock) == 7200

    run(main)


def test_jobs_are_run_at_their_times(clock: HandClock) -> None:
    log: list[tuple[str, float]] = []

    def note(name: str) -> bool:
        log.append((name, passed_s(clock)))
        return len(log) < 5

    runafter(90, note, "after")
    runat(socket2.now() + 45, note, "at")
    runevery(60, note, "every")
    assert socket2.start()
    assert log == [("at", 45), ("every", 60), ("after", 90), ("every", 120), ("every", 180)]


def test_the_loop_is_idle_for_as_long_as_it_is_told(clock: HandClock) -> None:
    newthread(socket2.suspend).cancel()
    assert socket2.start()
    sleeper = newthread(sleep, WEEK_S)
    assert not socket2.poll(60)
    assert passed_s(clock) == 60
    assert not socket2.start(600)
    assert passed_s(clock) == 660
    assert not sleeper.done
    assert socket2.start()
    assert passed_s(clock) == WEEK_S


def test_the_next_address_is_tried_when_its_time_has_come(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address neither refuses nor answers."""
    begun: list[tuple[str, float]] = []
    connect = eyeballs._connect_to

    def connect_to(address: socket2.Address, *args: Any) -> Any:
        return sleep(WEEK_S) if address.host == "127.0.0.2" else connect(address, *args)

    def tell(event: str, address: socket2.Address, error: OSError | None) -> None:
        begun.append((event, passed_s(clock)))

    def main() -> Steps:
        with socket2.listen("127.0.0.1:0") as listener:
            silent = yield from socket2.addr("127.0.0.2", 1)
            there = yield from socket2.addr(listener.getsockname())
            (yield from eyeballs.connect_to_first([*silent, *there], {}, 30, "here", tell)).close()

    monkeypatch.setattr(eyeballs, "_connect_to", connect_to)
    run(main)
    assert begun == [("begun", 0), ("slow", 30), ("begun", 30)]


def test_a_server_stops_after_its_grace(clock: HandClock) -> None:
    def handler(conn: socket2.TCP) -> Steps:
        yield from conn.recv(1)

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1", 0)
        with (yield from socket2.connect(server.addresses[0])) as conn:
            while not server.connections:
                yield from sleep(0)
            assert (yield from server.stop(3600)) == 1
            assert (yield from conn.recv(1)) == b""

    run(main)
    assert passed_s(clock) == 3600


def test_the_other_faces_run_out_of_time(clock: HandClock) -> None:
    def lua() -> Steps:
        with closing(luasocket.udp()) as sock:
            yield from sock.setsockname("127.0.0.1", 0)
            sock.settimeout(120)
            begun = luasocket.gettime()
            assert (yield from sock.receive()) == (None, "timeout")
            assert round(luasocket.gettime() - begun, 3) == 120
            assert (yield from luasocket.select([sock], None, 60))[2] == "timeout"

    run(lua)
    assert passed_s(clock) == 180

    async def evented() -> None:
        server = net.createServer()
        conn = net.connect(await started(server), "127.0.0.1")
        conn.setTimeout(5000, conn.destroy)
        await conn.wait("close")
        server.close()

    before = passed_s(clock)
    run(evented)
    assert passed_s(clock) == before + 5


def test_the_list_of_threads_tells_how_long_it_is_to_a_deadline(clock: HandClock) -> None:
    def main() -> Steps:
        sleeper = newthread(sleep, 3600)
        clock.time_s += 600
        info = next(info for info in threads_now() if info.name == sleeper.name)
        assert info.deadline_s == 3000
        sleeper.cancel()
        yield from sleep(0)

    run(main)


def test_the_list_of_threads_tells_how_long_a_thread_has_waited(clock: HandClock) -> None:
    def main() -> Steps:
        yield from sleep(5)
        sleeper = newthread(sleep, 3600)
        yield from sleep(600)
        info = next(info for info in threads_now() if info.name == sleeper.name)
        assert (round(info.age_s or 0, 3), round(info.since_s or 0, 3)) == (600, 600)
        sleeper.cancel()
        yield from sleep(0)

    debug.enable(None, None, False)
    try:
        run(main)
    finally:
        debug.disable()


def test_nothing_else_asks_what_time_it_is() -> None:
    """The exceptions watch the loop from outside, log the time of day, or define the default clock."""
    outside = {
        "history.py",
        "facts.py",
        "watchdog.py",
        "overdue.py",
        "supervisor.py",
        "staff.py",
        "clock.py",
        "loop.py",
        "accesslog.py",
    }
    asking = {
        path.name
        for path in (ROOT / "socket2").rglob("*.py")
        if any(word in path.read_text() for word in ("monotonic()", "import monotonic", "perf_counter", "time.time("))
    }
    assert asking == outside
