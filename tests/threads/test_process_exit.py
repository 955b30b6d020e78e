"""At the exit of the process the threads that are left are cancelled. They may clean up, for a short time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Event,
    call_in_thread,
    listen,
    newthread,
    open_file,
    process,
    run,
    scope,
    sleep,
    start,
    stop,
    suspend,
    threadset,
)
from socket2.threads import exiting, joining, osthreads
from socket2.threads.member import current_member
from socket2.threads.scheduler import PoolThread, current_scheduler

from ..conftest import end
from ..garbage import left_by
from ..interop.peers import LIMIT_S

Steps = Generator[Any, Any, Any]

IS_UNIX = os.name == "posix"
needs_unix = pytest.mark.skipif(not IS_UNIX, reason="UNIX sockets, child processes, fork and signals")


class Trail(list[str]):
    def waits(self, cleanup: Callable[[], Any] | None = None) -> Steps:
        try:
            yield from sleep(1e6)
        except Cancelled:
            self.append("cancelled")
            raise
        finally:
            if cleanup is not None:
                yield from cleanup()
            self.append("cleaned up")


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a cleanup that ends has enough time."""
    monkeypatch.setattr(exiting, "CLEANUP_S", LIMIT_S)


@pytest.fixture
def trail() -> Trail:
    return Trail()


def ends_the_wait() -> Steps:
    """When it is cancelled, raise KeyboardInterrupt, as Ctrl-C does, after the others have had some turns."""
    try:
        yield from sleep(1e6)
    finally:
        for _ in range(20):
            yield from sleep(0)
        raise KeyboardInterrupt


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_threads_are_cancelled_and_clean_up(trail: Trail, shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    for cleanup in (None, lambda: sleep(0.001)):
        newthread(trail.waits, cleanup)
    run(sleep, 0)
    exiting.clean_up()
    assert sorted(trail) == ["cancelled", "cancelled", "cleaned up", "cleaned up"]
    assert run(lambda: "the loop can be used") == "the loop can be used"


def for_ever() -> Steps:
    yield from Event().wait()


def shielded() -> Steps:
    with scope(shield=True):
        yield from sleep(1e6)


def spins() -> Steps:
    while True:
        yield from sleep(0)


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("cleanup", [for_ever, shielded, spins])
def test_a_cleanup_that_does_not_end_is_cut_short(
    cleanup: Callable[[], Any], shared: bool, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shared:
        joining.share(current_scheduler())
    monkeypatch.setattr(exiting, "CLEANUP_S", 0.1 if cleanup is not for_ever else 1e6)  # nothing can set that event

    def work() -> Steps:
        try:
            yield from trail.waits(cleanup)
        finally:
            trail.append("dropped")

    thread = newthread(work)
    joiner = newthread(thread.join)
    run(sleep, 0)
    exiting.clean_up()
    assert trail == ["cancelled", "dropped"]
    assert thread.done
    assert joiner.done
    assert start(LIMIT_S)


def test_a_thread_that_ignores_its_cancellation(trail: Trail) -> None:
    def ignores() -> Steps:
        while True:
            try:
                yield from sleep(1e6)
            except Cancelled:
                trail.append("ignored")

    thread = newthread(ignores)
    newthread(ends_the_wait)
    run(sleep, 0)
    exiting.clean_up()
    assert thread.done
    assert trail == ["ignored"]


@pytest.mark.parametrize("cleanup", [None, shielded])
def test_errors_of_the_cleanup_are_reported(
    cleanup: Callable[[], Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            try:
                if cleanup is not None:
                    yield from cleanup()
            finally:
                raise LookupError("of the cleanup")

    thread = newthread(fails)
    newthread(thread.join)
    newthread(ends_the_wait)
    run(sleep, 0)
    exiting.clean_up()
    assert caplog.text.count("LookupError: of the cleanup") == 1
    assert start(LIMIT_S)


def test_exits_in_the_cleanup_are_over(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """So are stop(), and threads that the cleanup starts: they are cancelled a little later."""
    monkeypatch.setattr(exiting, "LATE_S", 0.02)

    def exits() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            stop()
            newthread(trail.waits)
            sys.exit(3)

    newthread(exits)
    newthread(trail.waits, lambda: sleep(0.01))
    run(sleep, 0)
    exiting.clean_up()
    assert trail == ["cancelled", "cleaned up", "cancelled", "cleaned up"]
    assert start(LIMIT_S)


def test_groups_end_with_their_members(trail: Trail) -> None:
    async def group(cleanup: Callable[[], Any]) -> None:
        async with threadset() as ts:
            ts.newthread(trail.waits, cleanup)
            ts.newthread(trail.waits)

    def plain_group(cleanup: Callable[[], Any]) -> Steps:
        with threadset() as ts:
            ts.newthread(trail.waits, cleanup)
            yield from ts.join()

    for cleanup in (lambda: sleep(0), shielded):
        newthread(group, cleanup)
        newthread(plain_group, cleanup)
    newthread(ends_the_wait)
    run(sleep, 0)
    exiting.clean_up()
    assert trail.count("cancelled") == 6
    assert trail.count("cleaned up") == 4
    assert start(LIMIT_S)


def test_no_os_thread_can_be_started(
    trail: Trail, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 starts none at the exit. Files and child processes need none; other blocking calls fail at once."""

    def refuses(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    async def work() -> None:
        async with await open_file(tmp_path / "file", "w") as file:
            try:
                await sleep(1e6)
            finally:
                await file.write("written")
                try:
                    await call_in_thread(lambda: "called")
                except RuntimeError as error:
                    trail.append(str(error))
                if IS_UNIX:
                    await ends_children()

    async def ends_children() -> None:
        async with process(["sleep", "1000"]) as child:
            child.terminate()
            assert await child.wait() == -signal.SIGTERM
            trail.append("child has ended")
        with process(["sleep", "1000"]) as child:
            pass
        while child.returncode is None:
            await sleep(0.001)
        trail.append("child has ended")

    async def main() -> None:
        newthread(work)
        while not (tmp_path / "file").exists():
            await sleep(0.001)

    run(main)
    run(sleep, 0.001)
    for calls in (osthreads.calls, osthreads.lookups):
        end(calls)
    monkeypatch.setattr(PoolThread, "start", refuses)
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    exiting.clean_up()
    assert trail == ["can't create new thread at interpreter shutdown", *(["child has ended"] * 2 * IS_UNIX)]
    assert (tmp_path / "file").read_text() == "written"
    assert caplog.text == ""


def test_no_cycle_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exiting, "CLEANUP_S", 0.001)

    def attempt() -> None:
        for cleanup in (None, shielded):
            newthread(Trail().waits, cleanup)
        run(sleep, 0)
        exiting.clean_up()

    assert left_by(attempt) == []


def test_nothing_happens_inside_a_thread() -> None:
    def main() -> Steps:
        thread = newthread(suspend)
        exiting.clean_up()
        assert not thread.done
        thread.cancel()
        yield from sleep(0)

    run(main)


def test_what_is_not_of_this_os_thread_is_left_alone() -> None:
    begun, end = threading.Event(), Event()

    def other() -> None:
        newthread(begun.set)
        run(end.wait)
        current_member().close()

    os_thread = threading.Thread(target=other)
    os_thread.start()
    assert begun.wait(LIMIT_S)
    exiting.clean_up()
    end.set()
    os_thread.join()


@needs_unix
def test_the_file_of_a_listener_that_nobody_has_closed_is_removed(tmp_path: Path) -> None:
    kept = listen(str(tmp_path / "kept"), unlink="never")
    with listen(str(tmp_path / "ours")), kept:
        exiting.clean_up()
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]


# Real exits. The children inherit the pipe of the output, so it ends when they have ended.

PROGRAM = """
import os, signal, socket2, sys
from socket2 import newthread, process, run, sleep, start
socket2.threads.exiting.CLEANUP_S = 1000
async def child():
    async with process(["sleep", "1000"]) as child:
        await child.wait()
async def listens(path):
    with socket2.listen(path) as listener:
        await listener.accept()
def slow():
    try:
        yield from sleep(1000)
    finally:
        yield from sleep(0.01)
        print("slow cleanup", flush=True)
async def main(end):
    newthread(child)
    newthread(listens, sys.argv[1])
    newthread(slow)
    await sleep(0.01)
    end()
def fails():
    raise LookupError("of main")
"""

ENDS = {
    "run returns": ("run(main, lambda: None)", 0),
    "run raises": ("run(main, fails)", 1),
    "stop": ("newthread(main, socket2.stop); start()", 0),
    "exit in start": ("newthread(main, lambda: sys.exit(3)); start()", 3),
}


@needs_unix
@pytest.mark.parametrize("end", ENDS)
def test_at_the_exit(end: str, tmp_path: Path) -> None:
    how, status = ENDS[end]
    command = [sys.executable, "-c", PROGRAM + how, str(tmp_path / "socket")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == status
    assert done.stdout == "slow cleanup\n"
    assert list(tmp_path.iterdir()) == []
    assert ("of main" in done.stderr) if end == "run raises" else done.stderr == ""


@needs_unix
def test_ctrl_c_ends_the_wait_for_the_cleanup() -> None:
    program = """
async def cleans_up():
    try:
        await child()
    finally:
        print("cleaning up", flush=True)
        try:
            await sleep(1000)
        finally:
            print("dropped")
newthread(cleans_up)
newthread(child)
signal.signal(signal.SIGINT, signal.default_int_handler)
run(sleep, 0)
"""
    with subprocess.Popen([sys.executable, "-c", PROGRAM + program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "cleaning up\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.read() == "dropped\n"
    assert running.returncode == 0


@needs_unix
def test_a_forked_child_leaves_all_to_its_parent(tmp_path: Path) -> None:
    program = """
run(main, lambda: None)
sys.stdout.flush()
if os.fork() == 0:
    sys.exit(0)
os.wait()
assert os.path.exists(sys.argv[1])
"""
    command = [sys.executable, "-c", PROGRAM + program, str(tmp_path / "socket")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("slow cleanup")) == (0, "", 1)
