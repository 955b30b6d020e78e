"""Wake-ups among the members of a scheduler: pairs of actions that race, made to happen in the worst order."""

from __future__ import annotations

import threading
from collections.abc import Generator
from functools import partial
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import newthread, resume, run, serve_threads, sleep, start, stop, suspend
from socket2.threads import joining
from socket2.threads.crew import Crew
from socket2.threads.joining import share
from socket2.threads.member import Member
from socket2.threads.scheduler import current_scheduler, local
from socket2.threads.stepping import step_shared

from ..interop.peers import LIMIT_S, OSThread, beside
from .test_sharing import comes, wait_for

Steps = Generator[Any, Any, Any]


def crew() -> Crew:
    scheduler = current_scheduler()
    share(scheduler)
    assert scheduler.crew is not None
    return scheduler.crew


def keeper() -> socket2.Thread[object]:
    return newthread(partial(sleep, 1e6), name="keeper")


def end(thread: socket2.Thread[object]) -> None:
    thread.cancel()
    assert start() is True


def serving(count: int) -> list[OSThread[bool]]:
    """Run OS threads that serve this one's scheduler. All of them are in their loops."""
    scheduler = current_scheduler()
    share(scheduler)

    def serve() -> bool:
        local.scheduler, local.member = scheduler, Member(scheduler, guest=True)
        return start()

    members = [OSThread(serve) for _ in range(count)]
    for member in members:
        member.start()
    wait_for(lambda: len(scheduler.loops) == count)
    return members


def step_and_leave(thread: socket2.Thread[object]) -> None:
    """Step one thread and leave, as another member would."""
    step_shared(Member(thread.scheduler), thread)
    crew = thread.scheduler.crew
    assert crew is not None
    crew.recheck()


@pytest.mark.parametrize("what", ["stop", "end"])
def test_what_ends_a_loop_comes_when_its_member_is_about_to_lead(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The member is not the leader yet, so nobody wakes the poller. Then it leads, and must not wait."""
    thread = keeper()
    crew()
    leads = Crew._leads
    done: list[str] = []

    def late(self: Crew, member: Member) -> bool:
        if not done and self.leader is None:
            done.append(what)
            if what == "stop":
                member.stop()
            else:
                thread._cancel()  # here cancel() would leave it to the loop
                with beside(step_and_leave, current_scheduler().ready.popleft()):
                    pass
        return leads(self, member)

    monkeypatch.setattr(Crew, "_leads", late)
    assert start() is True
    assert done == [what]
    monkeypatch.undo()
    end(thread)


def test_the_end_of_runs_thread_comes_when_its_member_is_about_to_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = keeper()
    crew()
    leads = Crew._leads
    ended = []

    def main() -> Steps:
        yield from sleep(0)
        return "ended"

    def late(self: Crew, member: Member) -> bool:
        if member._main is not None and not member._main.done and current_scheduler().ready:
            ended.append(current_scheduler().ready.popleft())
            with beside(step_and_leave, ended[0]):
                pass
        return leads(self, member)

    monkeypatch.setattr(Crew, "_leads", late)
    assert run(main) == "ended"
    assert len(ended) == 1
    monkeypatch.undo()
    end(thread)


def test_a_thread_started_while_the_threads_are_counted_is_not_overlooked() -> None:
    """The starter is suspended right after the start, so the number of suspended threads equals the old count."""
    shared = crew()
    scheduler = current_scheduler()
    first = newthread(lambda: (yield from suspend()))
    scheduler.hopeless = 0  # it still runs

    class Late(dict[socket2.Thread[object], None]):
        calls = 0

        def __len__(self) -> int:
            length = super().__len__()
            self.calls += 1
            if self.calls == 1:
                threads.append(keeper())
                scheduler.hopeless = 1
            return length

    threads = [first]
    scheduler.threads = Late(scheduler.threads)
    assert scheduler.anything_to_wait_for()
    scheduler.threads = dict(scheduler.threads)
    assert shared.members == []
    for thread in threads:
        thread.cancel()
    assert start() is True


def test_who_has_lost_the_lead_on_its_way_does_not_poll_beside_the_new_leader() -> None:
    """One OS thread polls at a time: the crew knows only one to wake, and until when it sleeps."""
    shared = crew()
    scheduler = current_scheduler()
    first, second = Member(scheduler), Member(scheduler)
    shared.leader = second
    polls = scheduler.poller.stats().polls
    assert shared._lead(first, None) is False
    assert scheduler.poller.stats().polls == polls
    assert not shared._polling
    shared.leader = None


def test_who_was_called_to_watch_and_leaves_instead_calls_the_next() -> None:
    shared = crew()
    scheduler = current_scheduler()
    scheduler.ready.append(thread := keeper())  # there is something to wait for
    leader, leaves, next_ = Member(scheduler), Member(scheduler), Member(scheduler)
    watcher = Member(scheduler)
    shared.leader, shared._watcher = leader, watcher
    shared._standby.append(next_)

    class TooLate:
        """A bell that is rung after the sleep and the deadline are over."""

        def sleep(self, timeout_s: float | None) -> bool:
            shared._watcher = None  # the watcher leaves, and calls the member that came last: this one
            shared._call_one()
            wait_for(lambda: monotonic() >= deadline)
            return False

        def ring(self) -> None:
            rung.append(self)

    rung: list[TooLate] = []
    leaves.bell = TooLate()  # type: ignore[assignment]
    deadline = monotonic() + 0.05
    shared._stand_by(leaves, deadline)
    assert rung
    assert next_.bell.sleep(0), "nobody would look at the leader"
    assert shared._standby == [next_]
    shared._standby.clear()
    shared.leader = None
    scheduler.ready.clear()
    end(thread)


def test_a_thread_that_is_ready_after_its_first_step_outside_a_loop_is_seen() -> None:
    thread = keeper()
    members = serving(2)
    wait_for(lambda: crew()._polling)
    ran = threading.Event()

    def passes() -> Steps:
        yield from sleep(0)
        ran.set()

    newthread(passes)
    comes(ran)
    thread.cancel()
    for member in members:
        assert member.outcome() is True


def test_the_end_of_the_last_thread_outside_a_loop_is_seen() -> None:
    """An OS thread without a running loop starts it, and meanwhile all other threads have ended."""
    first = keeper()
    members = serving(2)
    alone = threading.Event()

    def last() -> Steps:
        first.cancel()
        wait_for(lambda: first.done and crew()._polling)
        alone.set()
        return
        yield

    newthread(last)
    assert alone.is_set()
    for member in members:
        assert member.outcome() is True


def test_a_stop_of_all_reaches_who_has_not_begun_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The OS threads of serve_threads() start one by one, and a thread may stop them all before the last one starts."""
    thread = keeper()
    stopped = threading.Event()

    def stops() -> Steps:
        yield from sleep(0)
        stop(all=True)
        stopped.set()

    begin = joining._MemberThread.start

    def slowly(hand: joining._MemberThread) -> None:
        begin(hand)
        comes(stopped)

    newthread(stops)
    monkeypatch.setattr(joining._MemberThread, "start", slowly)
    assert serve_threads(3) is True
    assert crew().coming == []
    end(thread)


def test_members_whose_threads_only_another_os_thread_can_wake_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    turn = Crew.turn

    def counted(self: Crew, member: Member, deadline: float | None) -> bool:
        turns.append(member)
        return turn(self, member, deadline)

    monkeypatch.setattr(Crew, "turn", counted)
    shared, scheduler = crew(), current_scheduler()
    waiting: list[socket2.Thread[object]] = []

    def main() -> Steps:
        waiting.append(socket2.currentthread())
        return (yield from suspend())

    def join_and_run() -> Any:
        local.scheduler, local.member = scheduler, Member(scheduler, guest=True)
        return run(main)

    members = [OSThread(join_and_run) for _ in range(3)]
    for member in members:
        member.start()
    wait_for(lambda: len(waiting) == 3 and shared._polling and len(shared._standby) == 2)
    before = len(turns)
    threading.Event().wait(0.2)
    assert len(turns) - before < 100, "each looks again twice a second"
    for number, thread in enumerate(waiting):
        resume(thread, number)
    assert sorted(member.outcome() for member in members) == [0, 1, 2]


def test_stops_and_ends_at_any_moment() -> None:
    """The same without forced timing, many times: no member is left behind."""
    for number in range(100):
        thread = keeper()
        members = serving(1)
        members += [OSThread(member._call[0]) for member in members * 3]
        for member in members[1:]:
            member.start()
        if number % 2:
            thread.cancel()
            socket2.poll(0)
        else:
            deadline = monotonic() + LIMIT_S
            while any(member.is_alive() for member in members):
                assert monotonic() < deadline
                stop(all=True)
            end(thread)
        for member in members:
            assert member.outcome() is True
    start()
