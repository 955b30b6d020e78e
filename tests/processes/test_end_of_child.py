"""The end of a child process: exit codes, signals, and the block that it does not outlive."""

from __future__ import annotations

import io
import os
import signal
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Process,
    newthread,
    process,
    run,
    sleep,
    timeout,
)
from socket2.processes import child

from .started import SLEEP, Steps, settled

pytestmark = pytest.mark.usefixtures("exit_way", "patient")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer than usual to end a child that has been killed."""
    monkeypatch.setattr(child, "_KILLED_S", 30)


def test_exit_codes() -> None:
    def main() -> Steps:
        with process(["sh", "-c", "exit 7"]) as seven:
            assert (yield from seven.wait()) == 7
            assert repr(seven) == f"<Process {seven.pid}, sh, ended with 7>"
        with process(["sh", "-c", "kill -USR1 $$"]) as signalled:
            assert (yield from signalled.wait()) == -signal.SIGUSR1

    run(settled, main)


def test_several_threads_wait() -> None:
    def main() -> Steps:
        with process(SLEEP) as sleeping:
            threads = [newthread(sleeping.wait) for _ in range(5)]
            yield from sleep(0)
            threads[0].cancel()
            threads[3].cancel()
            yield from sleep(0)
            sleeping.terminate()
            for at, thread in enumerate(threads):
                if at in (0, 3):
                    with pytest.raises(Cancelled):
                        yield from thread.join()
                else:
                    assert (yield from thread.join()) == -signal.SIGTERM
            for number in (signal.SIGTERM, signal.SIGKILL):
                sleeping.send_signal(number)

    run(settled, main)


def test_a_wait_that_times_out_leaves_the_child_alone() -> None:
    def main() -> Steps:
        with process(SLEEP) as sleeping:
            for _ in range(3):
                with pytest.raises(TimeoutError), timeout(0.01):
                    yield from sleeping.wait()
            assert sleeping.returncode is None
            sleeping.kill()
            assert (yield from sleeping.wait()) == -signal.SIGKILL

    run(settled, main)


def is_reaped(ended: Process) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(ended.pid, os.WNOHANG)
        return False
    return True


def test_leaving_the_block_kills_and_reaps() -> None:
    def main() -> Steps:
        with process(SLEEP, stdin=PIPE, stdout=PIPE) as sleeping:
            yield from sleep(0)
        assert is_reaped(sleeping)
        assert sleeping.returncode == -signal.SIGKILL
        assert (yield from sleeping.wait()) == -signal.SIGKILL
        with pytest.raises(RuntimeError, match="an error"):
            with process(SLEEP) as sleeping:
                raise RuntimeError("an error")
        assert is_reaped(sleeping)

    run(settled, main)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("block", ["with", "async with"])
def test_a_cancelled_thread_kills_and_reaps(how: str, block: str) -> None:
    made: list[Process] = []

    def steps() -> Steps:
        with process(SLEEP, stdout=PIPE) as sleeping:
            made.append(sleeping)
            yield from sleeping.stdout.recvline()

    async def coroutine() -> None:
        async with process(SLEEP, stdout=PIPE) as sleeping:
            made.append(sleeping)
            await sleeping.stdout.recvline()

    def main() -> Steps:
        func: Any = steps if block == "with" else coroutine
        thread = newthread(func)
        yield from sleep(0)
        if how == "cancel":
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        else:
            thread.cancel()
            with suppress(Cancelled):
                yield from thread.join()

            async def limited() -> None:
                with timeout(0.01):
                    async with process(SLEEP) as sleeping:
                        made.append(sleeping)
                        await sleeping.wait()

            with pytest.raises(TimeoutError):
                yield from newthread(limited).join()
        for each in made:
            assert is_reaped(each)
            assert each.returncode == -signal.SIGKILL

    run(settled, main)


def test_async_with_is_not_cut_short_by_another_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child ends only when the second cancellation has come."""
    kill = Process.kill
    monkeypatch.setattr(Process, "kill", lambda self: None)
    made: list[Process] = []

    async def holds() -> None:
        async with process(SLEEP) as sleeping:
            made.append(sleeping)
            await sleep(60)

    def main() -> Steps:
        thread = newthread(holds)
        yield from sleep(0)
        for _ in range(3):
            thread.cancel()
            yield from sleep(0)
        assert not thread.done
        kill(made[0])
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert is_reaped(made[0])

    run(settled, main)


def test_a_child_that_takes_long_to_die_is_reaped_by_an_os_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_KILLED_S", 0)
    kill = Process.kill
    monkeypatch.setattr(Process, "kill", lambda self: None)

    def main() -> Steps:
        with process(SLEEP) as sleeping:
            yield from sleep(0)
        assert sleeping.returncode is None
        kill(sleeping)
        while sleeping.returncode is None:
            yield from sleep(0.001)
        assert is_reaped(sleeping)

    run(settled, main)


def test_a_child_that_has_ended_before_the_block_is_left() -> None:
    def main() -> Steps:
        with process(["true"]) as ended:
            while ended.returncode is None:
                yield from sleep(0.001)
        assert is_reaped(ended)

    run(settled, main)


def test_the_exit_code_is_lost() -> None:
    def main() -> Steps:
        with process(["true"]) as taken:
            os.waitpid(taken.pid, 0)
            for _ in range(2):
                with pytest.raises(ChildProcessError, match="other code has waited for it"):
                    yield from taken.wait()
            with pytest.raises(ChildProcessError):
                _ = taken.returncode
            taken.kill()  # does not hit another process
            assert repr(taken).endswith(", ended, exit code lost>")

    run(settled, main)


def test_a_program_that_ignores_sigchld() -> None:
    def main() -> Steps:
        with process(["sh", "-c", "read line"], stdin=PIPE) as child_:
            waiting = newthread(child_.wait)
            yield from sleep(0)
            child_.stdin.close()
            with pytest.raises(ChildProcessError, match="SIGCHLD is ignored"):
                yield from waiting.join()

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run(settled, main)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_one_that_is_forgotten_warns() -> None:
    def main() -> Steps:
        forgotten = process(["sh", "-c", "read line"], stdin=PIPE)
        popen = forgotten._popen
        with pytest.warns(ResourceWarning, match="unclosed"):
            del forgotten
        popen.wait()
        yield from ()

    run(settled, main)


def test_a_system_that_cannot_wait_for_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise io.UnsupportedOperation("sockets only")

    def main() -> Steps:
        with pytest.raises(io.UnsupportedOperation, match="sockets only"):
            process(["cat"], stdin=PIPE)
        with process(["true"], stdin=DEVNULL) as done:
            assert (yield from done.wait()) == 0

    monkeypatch.setattr(child, "check_system", refuse)
    run(settled, main)


def test_the_number_of_children_is_not_limited_by_anything_of_ours() -> None:
    def one() -> Steps:
        with process(["cat"], stdin=PIPE, stdout=PIPE) as cat:
            yield from cat.stdin.sendall(b"x\n")
            assert (yield from cat.stdout.recvline()) == b"x"
            cat.stdin.close()
            return (yield from cat.wait())

    def main() -> Steps:
        threads = [newthread(one) for _ in range(40)]
        for thread in threads:
            assert (yield from thread.join()) == 0

    run(settled, main)


def test_started_outside_a_thread() -> None:
    cat = process(["cat"], stdin=PIPE, stdout=PIPE)

    def main() -> Steps:
        with cat:
            yield from cat.stdin.sendall(b"x\n")
            assert (yield from cat.stdout.recvline()) == b"x"

    run(main)


def test_a_coroutine_that_is_dropped_kills_its_child() -> None:
    async def holds() -> None:
        async with process(SLEEP) as sleeping:
            made.append(sleeping)
            await sleep(60)

    made: list[Process] = []

    def main() -> Steps:
        yield from ()
        coroutine = holds()
        coroutine.send(None)
        coroutine.close()
        assert is_reaped(made[0])

    run(main)
