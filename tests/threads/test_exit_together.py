"""At the exit of the process all threads clean up at the same moment. What one expects of another may be gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Event, Server, Thread, currentthread, newthread, resume, run, sleep, suspend, threadset
from socket2.threads import exiting, joining, scheduler
from socket2.threads.member import Member, current_member
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S

Steps = Generator[Any, Any, Any]


@pytest.fixture(params=[False, True], ids=["private", "shared"], autouse=True)
def shared(request: pytest.FixtureRequest) -> None:
    if request.param:
        joining.share(current_scheduler())


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a cleanup that ends has enough time."""
    monkeypatch.setattr(exiting, "CLEANUP_S", LIMIT_S)


def turns(count: int) -> Steps:
    for _ in range(count):
        yield from sleep(0)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("wait", [0, 3])
def test_a_cleanup_resumes_a_thread_that_was_cancelled_too(
    first: int, wait: int, caplog: pytest.LogCaptureFixture
) -> None:
    sleepers: list[Thread[object]] = []

    def sleeper() -> Steps:
        sleepers.append(currentthread())
        yield from suspend()

    def waker() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            yield from turns(wait)
            resume(sleepers[0])

    for func in (sleeper, waker)[:: -1 if first else 1]:
        newthread(func)
    run(sleep, 0)
    exiting.clean_up()
    assert caplog.text == ""


@pytest.mark.parametrize("cancels", [False, True])
def test_a_cleanup_cancels_and_joins_another_thread(cancels: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The other one is in its own cleanup, which is not interrupted. Its Cancelled is nobody's error."""
    trail = []

    def other() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            yield from turns(5)
            trail.append("cleaned up")

    def main() -> Steps:
        thread = newthread(other)
        try:
            yield from sleep(1e6)
        finally:
            yield from turns(2)
            if cancels:
                thread.cancel()
            yield from thread.join()

    async def group() -> None:
        async with threadset() as ts:
            ts.newthread(main)
            ts.newthread(main)

    newthread(main)
    newthread(group)
    run(turns, 3)
    exiting.clean_up()
    assert trail == ["cleaned up"] * 3
    assert caplog.text == ""


def test_a_server_that_stops_leaves_its_handlers_their_cleanup(caplog: pytest.LogCaptureFixture) -> None:
    trail = []

    async def handler(conn: socket2.TCP) -> None:
        trail.append("begun")
        try:
            await sleep(1e6)
        finally:
            await turns_of_a_coroutine()
            trail.append("cleaned up")

    async def turns_of_a_coroutine() -> None:
        for _ in range(10):
            await sleep(0)

    async def serve() -> None:
        await socket2.serve(handler, "127.0.0.1", 0, ready=client, signals=())

    async def client(server: Server) -> None:
        with await socket2.connect(*server.addresses[0]) as conn:
            await conn.recv(1)

    async def until_it_has_begun() -> None:
        while not trail:
            await sleep(0.001)

    newthread(serve)
    run(until_it_has_begun)
    exiting.clean_up()
    assert trail == ["begun", "cleaned up"]
    assert caplog.text == ""


@pytest.mark.parametrize("wait", [lambda: sleep(1e6), lambda: Event().wait()], ids=["sleep", "hopeless"])
def test_threads_that_a_cleanup_starts_are_cancelled_later(
    wait: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exiting, "LATE_S", 0.01)
    monkeypatch.setattr(exiting, "CLEANUP_S", 1e6)
    trail: list[int] = []

    def generation(number: int) -> Steps:
        try:
            yield from wait()
        finally:
            yield from sleep(0)
            trail.append(number)
            if number < 5:
                newthread(generation, number + 1)

    newthread(generation, 0)
    run(sleep, 0)
    exiting.clean_up()
    assert trail == [0, 1, 2, 3, 4, 5]


def test_a_cleanup_of_many_waits_is_dropped_as_a_whole(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exiting, "CLEANUP_S", 0.01)
    trail = []

    def steps() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            try:
                yield from sleep(1e6)
            finally:
                try:
                    yield from sleep(1e6)
                finally:
                    trail.append("end")

    newthread(steps)
    run(sleep, 0)
    exiting.clean_up()
    assert trail == ["end"]
    assert caplog.text == ""


def test_an_async_generator_that_was_dropped_is_closed() -> None:
    trail = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await sleep(0)
            trail.append("closed")

    async def main() -> None:
        async for _ in numbers():
            return

    run(main)
    exiting.clean_up()
    assert trail == ["closed"]


def test_other_members_help_and_are_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they do not tell this OS thread, it finds out: that only a thread is left which a cleanup has started."""
    monkeypatch.setattr(exiting, "LATE_S", 0.01)
    joining.share(current_scheduler())
    poller = current_scheduler().poller
    left = threading.Event()

    late: list[Thread[object]] = []

    def starts_another() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            late.append(newthread(sleep, 1e6))

    def member() -> None:
        joining.join(poller.name, poller.fileno())
        socket2.start()
        left.set()

    with socket2.portal() as p:  # so that its loop goes on
        os_thread = threading.Thread(target=member)
        os_thread.start()
        while (crew := current_scheduler().crew) is None or crew.leader is None:
            pass
        newthread(starts_another)
        begun = current_scheduler().now()
        exiting.clean_up()
        assert isinstance(late[0].error, Cancelled)
        assert current_scheduler().now() < begun + LIMIT_S
        assert left.wait(LIMIT_S)
        p.close()
    os_thread.join()


def test_only_the_leader_mends() -> None:
    """Another member may be polling. What its poll makes ready is over, but in no queue yet."""
    own = current_scheduler()
    joining.share(own)
    assert own.crew is not None
    current_member()
    own.crew.leader = Member(own)
    scheduler._mend()
    assert list(own.inbox) == [scheduler._mend]
    own.inbox.clear()
    own.crew.leader = None


def test_a_cancelled_that_is_not_of_the_exit_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> Steps:
        thread = newthread(suspend)
        thread.cancel()
        yield from thread.join()

    newthread(main)
    with pytest.raises(Cancelled):
        run(main)
    assert caplog.text.count("Cancelled: suspend was cancelled") == 1
