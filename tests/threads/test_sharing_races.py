"""Several OS threads, one scheduler: rare moments, caused on purpose."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, cast

import pytest

import pollers
import socket2
from socket2.threads import joining, lock
from socket2.threads.crew import Crew
from socket2.threads.deadline import Patience
from socket2.threads.member import Member, current_member
from socket2.threads.scheduler import Scheduler, local
from socket2.threads.thread import Thread

from ..contract.test_sharing import let_others_run

Steps = Generator[Any, Any, Any]

SOON_S = 10.0


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Return a crew whose only member is this OS thread, and whose loop is this test."""
    scheduler = current_member().scheduler
    joining.share(scheduler)
    assert scheduler.crew is not None
    yield scheduler.crew
    for thread in list(scheduler.threads):
        thread.cancel()
    socket2.start()


def turns_at_once(crew: Crew, member: Member) -> None:
    """Check that the next turn does not wait, although nothing will happen that could wake it."""
    begun = monotonic()
    crew.enter(member)
    try:
        crew.turn(member, begun + 2 * SOON_S)
    finally:
        crew.leave(member)
        member._stopping = False
    assert monotonic() - begun < SOON_S


def sleeper() -> Steps:
    try:
        yield from socket2.sleep(1000)
    except socket2.Cancelled:
        pass


def suspended() -> Steps:
    yield from socket2.suspend()


# Who polls.


def test_only_one_polls(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that is replaced on its way to the poller does not poll beside the new one."""
    member = current_member()
    crew.leader = Member(member.scheduler)
    with monkeypatch.context() as patched:
        patched.setattr(member.scheduler, "poller", None)  # it fails if it is used
        assert crew._lead(member, None) is False
    crew.leader = None


def test_stopped_before_it_leads(crew: Crew) -> None:
    """stop() comes after a member has checked for it and before it waits, when it is not the leader yet."""
    member = current_member()
    socket2.newthread(sleeper)
    member.stop()
    turns_at_once(crew, member)


def test_the_last_thread_ends_before_it_leads(crew: Crew) -> None:
    turns_at_once(crew, current_member())


def test_runs_thread_ends_before_it_leads(crew: Crew) -> None:
    member = current_member()
    socket2.newthread(sleeper)
    member._main = socket2.newthread(lambda: None)
    try:
        turns_at_once(crew, member)
    finally:
        member._main = None


def test_called_to_watch_and_wanted_elsewhere(crew: Crew) -> None:
    """A member that is called to watch, but has to leave, calls the next one."""
    one, other, leader = (Member(cast(Scheduler, crew._scheduler)) for _ in range(3))
    crew.leader = leader
    crew._standby.append(other)
    crew._stand_by(one, monotonic())
    assert other.bell.sleep(0), "nobody watches"
    crew._standby.clear()
    crew.leader = None


def test_run_does_not_spin_while_it_stands_by(crew: Crew) -> None:
    """With nothing to wait for, run() checks now and then for work from another OS thread."""
    member = current_member()
    member._main = socket2.newthread(suspended)
    try:
        assert not member.has_reason_to_leave()
        member.stop()
        assert member.has_reason_to_leave()
    finally:
        member._stopping = False
        member._main = None


# Whether anything is left.


class Interrupted(dict[Thread[object], None]):
    """The set of live threads. Its length takes so long to compute that another OS thread interrupts."""

    def __init__(self, threads: dict[Thread[object], None], meanwhile: Callable[[], None]) -> None:
        super().__init__(threads)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def __len__(self) -> int:
        count = super().__len__()
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return count


def test_a_thread_that_begins_and_suspends_meanwhile(crew: Crew) -> None:
    scheduler = cast(Scheduler, crew._scheduler)
    threads = [socket2.newthread(sleeper)]
    scheduler.timers.useless += 1  # this thread does not count
    try:
        scheduler.threads = Interrupted(scheduler.threads, lambda: threads.append(socket2.newthread(suspended)))
        assert scheduler.anything_to_wait_for()
        assert len(threads) == 2
    finally:
        scheduler.threads = dict(scheduler.threads)
        scheduler.timers.useless -= 1


def test_a_posted_call_is_something_until_it_is_made(crew: Crew) -> None:
    member = current_member()
    socket2.newthread(suspended)
    seen = []
    member.scheduler.post(lambda: seen.append(member.scheduler.anything_to_wait_for()))
    member.make_posted_calls()
    assert seen == [True]
    assert not member.scheduler.anything_to_wait_for()


# Coming and going.


def test_stop_before_the_new_members_loops_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    start, stop_all = Member.start, joining.stop_all
    stopped = threading.Event()

    def late(self: Member, timeout_s: float | None) -> bool:
        assert not self._guest or stopped.wait(SOON_S)
        return start(self, timeout_s)

    def stopping(scheduler: Scheduler) -> None:
        stop_all(scheduler)
        stopped.set()

    thread = socket2.newthread(sleeper)
    socket2.stop()
    with monkeypatch.context() as patched:
        patched.setattr(Member, "start", late)
        patched.setattr(joining, "stop_all", stopping)
        assert socket2.serve_threads(4)
    thread.cancel()
    assert socket2.start()


def test_a_member_that_dies_before_the_first_one_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error ends all members and is raised. It does not stop the next loop."""
    start = Member.start
    died = threading.Event()

    def dying(self: Member, timeout_s: float | None) -> bool:
        if self._guest:
            try:
                raise KeyError("a guest's")
            finally:
                died.set()
        assert died.wait(SOON_S)
        return start(self, timeout_s)

    thread = socket2.newthread(sleeper)
    with monkeypatch.context() as patched:
        patched.setattr(Member, "start", dying)
        with pytest.raises(KeyError, match="a guest's"):
            socket2.serve_threads(2)
    thread.cancel()
    assert socket2.start()


def test_a_thread_started_outside_while_others_serve() -> None:
    """The polling members take the threads that it made ready, without waiting for another event first."""
    passed = threading.Event()

    def passes() -> Steps:
        yield from socket2.sleep(0)
        passed.set()

    stays = socket2.newthread(sleeper)
    scheduler = current_member().scheduler
    joining.share(scheduler)
    serving = threading.Event()
    socket2.newthread(lambda: (yield from announced(serving)))
    other = threading.Thread(target=serve, args=(scheduler,))
    other.start()
    assert serving.wait(SOON_S)
    for _ in range(50):
        passed.clear()
        socket2.newthread(passes)
        assert passed.wait(SOON_S)
    stays.cancel()
    other.join(SOON_S)
    assert not other.is_alive()


def announced(event: threading.Event) -> Steps:
    yield from socket2.sleep(0)
    event.set()


def serve(scheduler: Scheduler) -> None:
    local.scheduler, local.member = scheduler, Member(scheduler, guest=True)
    socket2.start()


# What threads share.


def test_one_socket_timeout_is_one_threads() -> None:
    thread = socket2.newthread(sleeper)
    patience = Patience(5)
    assert patience.enter(thread, monotonic() + 5)
    assert not patience.enter(thread, monotonic() + 5)
    patience.leave(None)
    assert patience.enter(thread, monotonic() + 5)
    patience.leave(None)
    thread.cancel()
    socket2.start()


def test_closed_while_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure connect makes a new socket. A close() at that moment closes the new one."""
    sock = socket2.tcp()
    closers: list[threading.Thread] = []

    class Slowly:
        """A poller that only makes sockets."""

        def __init__(self, poller: Any) -> None:
            self._make = poller.socket

        def socket(self, *args: Any) -> Any:
            closer = threading.Thread(target=sock.close)
            closers.append(closer)
            closer.start()
            for _ in range(1000):
                let_others_run()
            return self._make(*args)

    scheduler = current_member().scheduler
    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "poller", Slowly(scheduler.poller))
        with suppress(socket2.Closed):  # it may be too late for that
            sock._renew(None)
    closers[0].join(SOON_S)
    assert sock.closed


def test_there_is_one_lock() -> None:
    """With two, a signal handler or a finalizer would take them in the other order."""
    assert lock.lock is pollers.lock


class Interrupting(socket.socket):
    """A socket whose connect() is interrupted by a signal."""

    other: threading.Thread

    def connect_ex(self, address: Any, /) -> int:
        self.other.start()
        for _ in range(1000):
            let_others_run()
        signal.raise_signal(signal.SIGTERM)
        return super().connect_ex(address)


@pytest.mark.parametrize("kind", [name for name in pollers.available() if name != "iocp"])
def test_a_signal_handler_in_the_middle_of_an_attempt(kind: str) -> None:
    """The handler may cancel threads while another OS thread is about to park one."""
    poller = pollers.choose(kind)
    poller.share()
    one, peer = socket.socketpair()
    waiting = poller.attach(one)
    receiving = iter(waiting.recv(1))
    next(receiving)

    def park() -> None:
        with lock.lock:
            waiting.reading.park("waiter")

    with socket.create_server(("127.0.0.1", 0)) as listener, peer:
        sock = Interrupting()
        sock.other = threading.Thread(target=park, daemon=True)
        connecting = iter(poller.attach(sock).connect(listener.getsockname()))
        acquired = []

        def cancels(*_: object) -> None:
            acquired.append(lock.lock.acquire(timeout=SOON_S))
            lock.lock.release()

        previous = signal.signal(signal.SIGTERM, cancels)
        try:
            next(connecting, None)
        finally:
            signal.signal(signal.SIGTERM, previous)
        assert acquired == [True]
        sock.other.join(SOON_S)
        assert not sock.other.is_alive()
    del receiving, connecting
    poller.shutdown()
