"""Several OS threads that serve one scheduler, and the promises about them."""

from __future__ import annotations

import contextvars
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import newthread, run, serve_threads, sleep, start, suspend, timeout
from socket2.threads import joining
from socket2.threads.crew import Crew
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..interop.peers import LIMIT_S, OSThread, beside

Steps = Generator[Any, Any, Any]

COUNT = 4


def here() -> int:
    return threading.get_ident()


def comes(event: threading.Event) -> None:
    """Block this OS thread until `event` is set."""
    assert event.wait(LIMIT_S)


def served(count: int, main: Callable[..., Steps], *args: Any) -> Any:
    """Run `main` as a thread that `count` OS threads serve. Return its result."""

    def limited() -> Steps:
        yield from sleep(0)  # newthread() outside the loop makes the first step of a thread
        with timeout(LIMIT_S):
            return (yield from main(*args))

    thread = newthread(limited)
    assert serve_threads(count) is True
    return thread.result()


def crew() -> Crew:
    found = current_scheduler().crew
    assert found is not None
    return found


def until(what: Callable[[], object]) -> Steps:
    """Let other threads run until the condition is true."""
    while not what():
        yield from sleep(0.001)


def is_at_rest(scheduler: Scheduler, count: int) -> bool:
    """Return whether all `count` members rest: one waits for events, and the others sleep."""
    crew = scheduler.crew
    return (
        crew is not None
        and len(crew.members) == count
        and crew._polling
        and crew._watcher_sleeps
        and len(crew._standby) == count - 1
    )


def wait_for(what: Callable[[], object]) -> None:
    """Do the same as until(), for an OS thread that is not a member."""
    never = threading.Event()
    deadline = monotonic() + LIMIT_S
    while not what():
        assert monotonic() < deadline
        never.wait(0.001)


KIND = "iocp" if sys.platform == "win32" else "epoll"
share_fd = {"iocp": socket2.iocp, "epoll": socket2.epoll_fd}[KIND]


@pytest.fixture
def fd() -> int:
    """Return the descriptor that others may join, or the handle."""
    if current_scheduler().poller.name != KIND:
        pytest.skip(f"the poller is {current_scheduler().poller.name}, not {KIND}")
    return share_fd()


def join_and_start(fd: int, timeout_s: float | None = None) -> bool:
    share_fd(fd)
    return start(timeout_s)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_posted_call_counts_as_something_only_if_it_makes_a_thread_ready(shared: bool) -> None:
    scheduler = current_scheduler()
    if shared:
        joining.share(scheduler)
    sleeping, suspended = newthread(sleep, 100), newthread(suspend)
    scheduler.post(lambda: None)
    assert socket2.poll(0) is False
    scheduler.post(suspended.waiting_on.finish)
    assert socket2.poll(0) is True
    sleeping.cancel()
    assert start() is True
    assert suspended.done
    assert sleeping.done


def pair() -> tuple[socket.socket, socket2.TCP]:
    """Return two connected sockets, one of them ours."""
    one, other = socket.socketpair()
    make = socket2.tcp if one.family == socket.AF_INET else socket2.unix  # on Windows these are TCP
    return one, make(fileno=other.detach())


@contextmanager
def joined(fd: int, count: int = 1) -> Iterator[None]:
    """Let other OS threads serve the scheduler of this one for the block."""
    keeper = newthread(partial(sleep, 1e6), name="keeper")
    members = [OSThread(join_and_start, fd) for _ in range(count)]
    for member in members:
        member.start()
    try:
        wait_for(lambda: len(current_scheduler().loops) >= count)
        yield
    finally:
        keeper.cancel()
        for member in members:
            assert member.outcome() is True


# Joining.


def test_get_and_join(fd: int) -> None:
    assert share_fd() == fd == current_scheduler().poller.fileno()
    assert share_fd(fd) == fd, "who is there already need not join"
    seen = []

    def join() -> None:
        assert share_fd(fd) == fd
        assert share_fd() == fd
        seen.append(local.scheduler)
        assert start() is True, "nothing is there to wait for"
        seen.append(local.scheduler)

    with beside(join):
        pass
    assert seen == [current_scheduler(), None], "after its start() it is on its own again"
    assert current_scheduler().loops == []


def test_joining_while_the_loop_runs_and_while_it_does_not(fd: int) -> None:
    def main() -> Steps:
        runner = local.member
        for _ in range(2):
            member = OSThread(join_and_start, fd)
            member.start()
            yield from until(lambda: len(current_scheduler().loops) == 2)
            stops = [one for one in current_scheduler().loops if one is not runner]
            for one in stops:
                one.stop()
            yield from until(lambda: not member.is_alive())  # noqa: B023
            assert member.outcome() is True

    run(main)
    assert crew().members == []
    with joined(fd, 2):
        ran = threading.Event()
        newthread(lambda: ran.set())
        comes(ran)


def test_joining_a_loop_that_ends_meanwhile(fd: int) -> None:
    for _ in range(20):
        thread = newthread(partial(sleep, 0))
        with beside(join_and_start, fd):
            start()
        wait_for(lambda: thread.done)  # noqa: B023


def test_a_descriptor_that_is_no_pollers(fd: int) -> None:
    with socket.socket() as other:
        for foreign in (other.fileno(), 10_000, -1):
            with pytest.raises(ValueError, match=f"^descriptor {foreign} belongs to no {KIND} poller"):
                share_fd(foreign)
    assert share_fd() == fd, "nothing has changed"


def test_who_has_threads_or_sockets_of_its_own_cannot_join(fd: int) -> None:
    def join() -> None:
        thread = newthread(partial(sleep, 1e6))
        with pytest.raises(RuntimeError, match="has 1 threads and 0 sockets of its own: join before creating them"):
            share_fd(fd)
        thread.cancel()
        start()
        one, sock = pair()
        with one, sock:
            run(sock.sendall, b"x")
            with pytest.raises(RuntimeError, match="has 0 threads and 1 sockets of its own"):
                share_fd(fd)
        assert not socket2.poll(0), "what it had works as before"
        assert join_and_start(fd)

    with beside(join):
        pass


def test_joining_inside_a_thread_or_a_loop(fd: int) -> None:
    def main() -> Steps:
        with pytest.raises(RuntimeError, match="is running: join before it starts or after it ends"):
            share_fd(fd)
        yield from sleep(0)
        with pytest.raises(RuntimeError, match="is running: join before it starts or after it ends"):
            share_fd(fd)

    with beside(run, main):
        pass


def test_arguments_of_serve_threads() -> None:
    for number in (0, -1):
        with pytest.raises(ValueError, match="the number of OS threads must be at least 1"):
            serve_threads(number)
    for other in (None, 2.0, "2", True):
        with pytest.raises(TypeError, match="the number of OS threads must be an int"):
            serve_threads(other)  # type: ignore[arg-type]

    def main() -> Steps:
        with pytest.raises(RuntimeError, match="call this instead of start"):
            serve_threads(2)
        yield from sleep(0)

    run(main)
    before = threading.active_count()
    assert serve_threads(3) is True, "nothing to wait for"
    assert threading.active_count() == before


# Serving.


def test_threads_run_at_the_same_time_in_as_many_os_threads() -> None:
    barrier = threading.Barrier(COUNT, timeout=LIMIT_S)
    seen = []

    def meet() -> Steps:
        yield from sleep(0)
        barrier.wait()  # it returns when all have come
        seen.append(here())

    def main() -> Steps:
        for thread in [newthread(meet) for _ in range(COUNT)]:
            yield from thread.join()

    served(COUNT, main)
    assert len(set(seen)) == COUNT


def test_any_member_goes_on_with_any_thread() -> None:
    """A thread that sleeps and one that receives continue in another OS thread while their own one is blocked."""
    data = []

    def receive(sock: Any) -> Steps:
        while byte := (yield from sock.recv(1)):
            data.append((byte, here()))

    def tick(seen: list[int]) -> Steps:
        while True:
            yield from sleep(0.001)
            seen.append(here())

    def main() -> Steps:
        seen: list[int] = []
        one, sock = pair()
        with one, sock:
            receiver, ticker = newthread(receive, sock), newthread(tick, seen)
            places: set[int] = set()
            while len(places) < 2:
                yield from sleep(0.001)
                # This OS thread is blocked until the others have made progress.
                ticks, bytes_ = len(seen), len(data)
                one.sendall(b"x")
                wait_for(lambda: len(seen) > ticks and len(data) > bytes_)  # noqa: B023
                assert here() not in (seen[-1], data[-1][1])
                places.add(seen[-1])
            ticker.cancel()
            one.shutdown(socket.SHUT_WR)
            yield from receiver.join()

    served(COUNT, main)


def test_a_thread_runs_in_one_os_thread_at_a_time() -> None:
    inside: dict[int, threading.Lock] = {}
    pauses = [0.0, 0.0005]

    def watched(number: int) -> Steps:
        lock = inside[number] = threading.Lock()
        for step in range(100):
            assert lock.acquire(blocking=False), "it runs in another OS thread, too"
            for _ in range(20 * number):
                pass
            lock.release()
            yield from sleep(pauses[step % 2])
        return number

    def main() -> Steps:
        threads = [newthread(watched, number) for number in range(20)]
        results = []
        for thread in threads:
            results.append((yield from thread.join()))
        assert results == list(range(20))

    served(COUNT, main)


def test_contextvars_follow_a_thread_and_thread_locals_do_not() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    threadlocal = threading.local()
    blocked, release = threading.Event(), threading.Event()

    def block() -> Steps:
        yield from sleep(0)
        threadlocal.value = "of the blocked one"
        blocked.set()
        comes(release)
        return here()

    def main() -> Steps:
        var.set("mine")
        blocker = newthread(block)
        yield from until(blocked.is_set)
        place = here()
        assert var.get() == "mine"
        assert not hasattr(threadlocal, "value"), "this is another OS thread"
        release.set()
        assert (yield from blocker.join()) != place

    served(2, main)
    with pytest.raises(LookupError):
        var.get()


def test_sockets_across_members() -> None:
    """Data arrives in order while the threads of each connection move between the members."""

    def echo(conn: socket2.TCP) -> Steps:
        with conn:
            while data := (yield from conn.recv(100)):
                yield from conn.sendall(data)

    def client(address: Any, number: int) -> Steps:
        with (yield from socket2.connect(address)) as conn:
            for at in range(20):
                said = b"%d.%d" % (number, at)
                yield from conn.sendall(said)
                assert (yield from conn.recv(100)) == said
        return number

    def serve(listener: socket2.TCP) -> Steps:
        while True:
            newthread(echo, (yield from listener.accept()))

    def main() -> Steps:
        with socket2.listen("127.0.0.1:0") as listener:
            server = newthread(serve, listener)
            clients = [newthread(client, listener.getsockname(), number) for number in range(10)]
            for number, thread in enumerate(clients):
                assert (yield from thread.join()) == number
            server.cancel()

    served(COUNT, main)
