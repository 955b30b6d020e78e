"""Several OS threads that serve one scheduler: how that ends, and wake-ups."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from socket2 import newthread, resume, run, serve_threads, sleep, start, stop, suspend
from socket2.threads.crew import Bell, Crew
from socket2.threads.scheduler import current_scheduler, local

from ..interop.peers import OSThread, beside
from . import test_sharing
from .test_sharing import (
    COUNT,
    comes,
    crew,
    is_at_rest,
    join_and_start,
    joined,
    pair,
    served,
    share_fd,
    until,
    wait_for,
)

fd = test_sharing.fd


Steps = Generator[Any, Any, Any]


# The end.


def test_stop_ends_the_loop_of_its_own_os_thread_only(fd: int) -> None:
    with joined(fd, 3):
        stopped = []

        def main() -> Steps:
            yield from sleep(0)
            stopped.append(local.member)
            stop()

        newthread(main)
        wait_for(lambda: len(current_scheduler().loops) == 2)
        assert stopped[0] not in current_scheduler().loops
        ran = threading.Event()
        newthread(lambda: ran.set())
        comes(ran)


def test_stop_all_ends_the_loops_of_all() -> None:
    def main() -> Steps:
        keeper = newthread(partial(sleep, 1e6), name="keeper")
        yield from until(lambda: len(crew()._standby) == COUNT - 1)
        stop(all=True)
        return keeper

    keeper = served(COUNT, main)
    assert crew().members == crew().coming == []
    assert not keeper.done, "it stays as it is"
    keeper.cancel()
    assert start() is True
    assert keeper.done


def test_stop_all_from_an_os_thread_that_does_not_serve(fd: int) -> None:
    keeper = newthread(partial(sleep, 1e6), name="keeper")
    members = [OSThread(join_and_start, fd) for _ in range(3)]
    for member in members:
        member.start()
    wait_for(lambda: len(current_scheduler().loops) == 3)
    stop(all=True)
    for member in members:
        assert member.outcome() is True
    keeper.cancel()
    assert start() is True, "the stop was for this OS thread, too, and counts once"
    assert start() is True


def test_start_returns_everywhere_when_nothing_is_left(fd: int) -> None:
    keeper = newthread(partial(sleep, 1e6), name="keeper")
    members = [OSThread(join_and_start, fd) for _ in range(3)]
    for member in members:
        member.start()
    wait_for(lambda: is_at_rest(current_scheduler(), 3))
    keeper.cancel()
    for member in members:
        assert member.outcome() is True


def test_what_only_another_thread_could_end_is_nothing_to_wait_for() -> None:
    def main() -> Steps:
        yield from sleep(0)
        yield from suspend()

    thread = newthread(main)
    assert serve_threads(COUNT) is True
    assert not thread.done
    resume(thread)
    assert serve_threads(COUNT) is True
    assert thread.done


def test_an_idle_timeout_in_members(fd: int) -> None:
    keeper = newthread(partial(sleep, 1e6), name="keeper")
    members = [OSThread(join_and_start, fd, 0.05) for _ in range(3)]
    for member in members:
        member.start()
    assert [member.outcome() for member in members] == [False] * 3
    keeper.cancel()
    assert start() is True


def test_run_in_a_member(fd: int) -> None:
    def main(number: int) -> Steps:
        for _ in range(20):
            yield from sleep(0.0005)
        return number

    def fails() -> Steps:
        yield from sleep(0.001)
        raise KeyError("its own")

    def join_and_run(number: int) -> Any:
        share_fd(fd)
        result = run(main, number)
        assert local.scheduler is None, "a guest goes when its run() ends"
        return result

    def join_and_fail() -> Any:
        share_fd(fd)
        with pytest.raises(KeyError, match="its own"):
            run(fails)

    with joined(fd):
        runners = [OSThread(join_and_run, number) for number in range(4)]
        for runner in [*runners, (failing := OSThread(join_and_fail))]:
            runner.start()
        assert [runner.outcome() for runner in runners] == [0, 1, 2, 3]
        failing.outcome()
        assert run(main, 4) == 4


# Wake-ups.


def test_a_timer_armed_by_another_member_comes_in_time() -> None:
    """The leader sleeps until a distant timer, and a thread in another OS thread arms an earlier one."""
    leading, release, woke = threading.Event(), threading.Event(), threading.Event()

    def near() -> Steps:
        yield from sleep(0.001)
        woke.set()

    def block() -> Steps:
        yield from sleep(0)
        leading.set()
        comes(release)
        newthread(near)
        comes(woke)  # another member runs this while this one is blocked

    def let_go() -> None:
        wait_for(lambda: crew()._polling)
        release.set()

    def main() -> Steps:
        blocker = newthread(block)
        yield from until(leading.is_set)
        far = newthread(partial(sleep, 1e6))
        with beside(let_go):
            yield from blocker.join()
        far.cancel()

    scheduler = current_scheduler()

    def crew() -> Crew:
        assert scheduler.crew is not None
        return scheduler.crew

    served(2, main)


def test_a_ready_thread_wakes_one_member_and_its_watcher_and_not_the_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Bell] = []
    ring = Bell.ring

    def count(bell: Bell) -> None:
        rung.append(bell)
        ring(bell)

    scheduler = current_scheduler()
    answered = threading.Event()

    def answer(sock: Any) -> Steps:
        while (yield from sock.recv(1)):
            answered.set()

    def main(sock: Any) -> Steps:
        yield from newthread(answer, sock).join()

    def ask(sock: socket.socket) -> list[tuple[int, int]]:
        """Return for each question how many bells were rung, and how often the poller was woken from outside."""
        wait_for(lambda: is_at_rest(scheduler, 6))
        woken = []
        for _ in range(20):
            rung.clear()
            answered.clear()
            wakeups = scheduler.poller.stats().wakeups
            sock.sendall(b"x")
            comes(answered)
            wait_for(lambda: is_at_rest(scheduler, 6))
            woken.append((len(set(rung)), scheduler.poller.stats().wakeups - wakeups))
        sock.shutdown(socket.SHUT_WR)
        return woken

    one, sock = pair()
    with one, sock:
        newthread(main, sock)
        serving = OSThread(ask, one)
        monkeypatch.setattr(Bell, "ring", count)
        serving.start()
        assert serve_threads(6) is True
        # The event ends the wait of the leader, which rings for the watcher. Under load that one may take over.
        assert sorted(serving.outcome())[10] <= (1, 0)


def test_nobody_is_woken_when_nobody_waits() -> None:
    def main() -> Steps:
        crew().recheck()  # a crew exists now
        wakeups = current_scheduler().poller.stats().wakeups
        for _ in range(100):
            thread = newthread(suspend_once)
            yield from sleep(0)  # its first step follows this one
            resume(thread)
            yield from thread.join()
        return current_scheduler().poller.stats().wakeups - wakeups

    def suspend_once() -> Steps:
        yield from suspend()

    assert served(1, main) == 0
