"""Several OS threads that serve one scheduler: each thing is done once, and what goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import socket2
from pollers import Cancelled
from socket2 import newthread, resume, serve_threads, sleep, start, suspend, timeout
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import ROOT, Program
from .test_sharing import COUNT, served, wait_for

Steps = Generator[Any, Any, Any]


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

    def join(number: int, thread: socket2.Thread[object]) -> Steps:
        try:
            yield from thread.join()
        except Cancelled:
            joins.append((number, "cancelled"))
        else:
            joins.append((number, "slept"))

    def cancel(thread: socket2.Thread[object], after_s: float) -> Steps:
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

    def give(thread: socket2.Thread[object], number: int | None) -> Steps:
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


def test_an_exception_of_one_thread_ends_only_that(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> Steps:
        yield from sleep(0)
        raise KeyError("nobody joins")

    def main() -> Steps:
        newthread(fails)
        yield from sleep(0.01)
        return "goes on"

    assert served(COUNT, main) == "goes on"
    assert "KeyError: 'nobody joins'" in caplog.text


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
            yield from sleep(0.05)
            print("serving", flush=True)
            while True:
                yield from sleep(0.05)

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
