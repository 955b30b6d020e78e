"""Several OS threads that serve one scheduler, and the promises about them."""

from __future__ import annotations

import contextvars
import os
import signal
import socket
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any

import pytest

import socket2
from pollers import Cancelled
from socket2 import newthread, resume, run, serve_threads, sleep, start, stop, suspend, timeout
from socket2.threads import joining
from socket2.threads.crew import Bell, Crew
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..interop.peers import LIMIT_S, ROOT, OSThread, Program, beside

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


# Each thing once.


def test_cancels_joins_and_timeouts_across_members_each_come_once() -> None:
    rounds = 100
    ends: list[str] = []
    joins: list[tuple[int, str]] = []

    def target() -> Steps:
        try:
            yield from sleep(0.0005)
        except Cancelled:
            ends.append("cancelled")
            raise
        ends.append("slept")

    def join(number: int, thread: socket2.Thread) -> Steps:
        try:
            yield from thread.join()
        except Cancelled:
            joins.append((number, "cancelled"))
        else:
            joins.append((number, "slept"))

    def cancel(thread: socket2.Thread, after_s: float) -> Steps:
        yield from sleep(after_s)
        thread.cancel()

    def limited() -> Steps:
        try:
            with timeout(0.0005):
                yield from sleep(0.0005)
        except TimeoutError:
            return "timed out"
        return "slept"

    def main() -> Steps:
        for number in range(rounds):
            thread = newthread(target)
            others = [newthread(join, number, thread) for _ in range(2)]
            others += [newthread(cancel, thread, 0.0005), newthread(cancel, thread, 0.0004)]
            waits = [newthread(limited) for _ in range(3)]
            for other in others:
                yield from other.join()
            for wait in waits:
                assert (yield from wait.join()) in ("slept", "timed out")

    served(COUNT, main)
    assert len(ends) == rounds
    assert sorted(joins) == sorted((number, end) for number, end in enumerate(ends) for _ in range(2))


def test_each_message_of_many_members_arrives_once() -> None:
    """Threads resume each other across OS threads: every hand-over arrives exactly once."""
    got: list[int] = []
    total = 300

    def take() -> Steps:
        while (number := (yield from suspend())) is not None:
            got.append(number)

    def give(thread: socket2.Thread, number: int | None) -> Steps:
        while True:
            with suppress(RuntimeError):  # it still works on the previous one
                resume(thread, number)
                return
            yield from sleep(0)

    def main() -> Steps:
        taker = newthread(take)
        for thread in [newthread(give, taker, number) for number in range(total)]:
            yield from thread.join()
        yield from newthread(give, taker, None).join()
        yield from taker.join()

    served(COUNT, main)
    assert sorted(got) == list(range(total))


# What goes wrong.


def program(source: str) -> Program:
    text = "from socket2 import *\nimport os, signal, sys, threading, time\n" + textwrap.dedent(source)
    return Program([sys.executable, "-W", "error", "-c", text], env={"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_member_that_ends_by_an_exception_ends_all_and_it_is_raised(error: type[BaseException]) -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise error("of a thread")

    keeper = newthread(partial(sleep, 1e6), name="keeper")
    newthread(fails)
    with pytest.raises(error, match="of a thread"):
        serve_threads(COUNT)
    wait_for(lambda: not current_scheduler().loops)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("socket2 member")])
    assert not keeper.done
    keeper.cancel()
    assert start() is True


def test_an_exception_of_one_thread_ends_only_that(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise KeyError("nobody joins")

    def main() -> Steps:
        newthread(fails)
        yield from sleep(0.01)
        return "goes on"

    assert served(COUNT, main) == "goes on"
    assert "KeyError: 'nobody joins'" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("who", ["leader", "other"])
def test_fork_in_a_shared_scheduler(who: str) -> None:
    """The child's loop ends with an error that says why, whichever member was the leader. A new loop works."""
    with program(f"""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def fresh():
            yield from sleep(0.001)
            return "a new loop works"

        def forks():
            yield from sleep(0)
            if {who!r} == "other":
                time.sleep(0.05)  # another one takes the lead
            pid = os.fork()
            yield from sleep(0.001)
            assert pid, "the child goes no further"
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            print("the parent goes on", flush=True)

        def main():
            keeper = newthread(sleep(1e6))
            yield from newthread(forks).join()
            keeper.cancel()

        parent = os.getpid()
        thread = newthread(main)
        try:
            serve_threads(3)
        except RuntimeError as error:
            assert os.getpid() != parent
            assert "after a fork" in str(error), error
            print(run(fresh), flush=True)
            os._exit(0)
        thread.result()
    """) as running:
        # If an OS thread of serve_threads() has forked, the child ends with that OS thread.
        assert running.wait() == 0, running.stderr().decode()
        assert b"the parent goes on" in running.stdout()
        assert b"a new loop works" in running.stdout() or b"after a fork" in running.stderr()


@pytest.mark.parametrize("end", ["SystemExit(7)", "KeyboardInterrupt"])
def test_a_member_that_is_blocked_for_ever_does_not_keep_the_interpreter_from_its_end(end: str) -> None:
    with program(f"""
        blocked = threading.Event()

        def blocks():
            yield from sleep(0)
            while threading.current_thread() is threading.main_thread():
                time.sleep(0.01)  # so that another member takes the lead, and this thread
                yield from sleep(0.001)
            blocked.set()
            threading.Event().wait()

        def main():
            while not blocked.is_set():
                yield from sleep(0.001)
            raise {end}

        newthread(blocks)
        newthread(main)
        try:
            serve_threads(3)
        except KeyboardInterrupt:
            raise SystemExit(7)
    """) as running:
        assert running.wait() == 7, running.stderr().decode()


@pytest.mark.parametrize("count", [1, 4])
def test_ctrl_c_ends_all_members(count: int) -> None:
    with program(f"""
        def main():
            while True:
                yield from sleep(0.05)
                print("serving", flush=True)

        newthread(main)
        try:
            serve_threads({count})
        except KeyboardInterrupt:
            deadline = time.monotonic() + 20
            while threading.active_count() > 1 and time.monotonic() < deadline:
                time.sleep(0.001)
            print("ended", threading.active_count(), flush=True)
    """) as running:
        running.announced("serving")
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0, running.stderr().decode()
        assert running.stdout().endswith(b"ended 1\n")


def test_ctrl_c_while_every_member_is_idle() -> None:
    with program("""
        def main():
            yield from sleep(0)
            print("serving", flush=True)
            yield from sleep(1e6)

        newthread(main)
        try:
            serve_threads(4)
        except KeyboardInterrupt:
            print("ended", flush=True)
    """) as running:
        running.announced("serving")
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0, running.stderr().decode()
        assert running.stdout().endswith(b"ended\n")
