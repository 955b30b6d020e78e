"""Asking a process from outside: who may ask, the signal, forks, and what does not change."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from socket2 import debug
from socket2.debug import inquiry

from ..interop.peers import LIMIT_S, Program, needs
from ..test_main import SEARCH
from . import test_ps
from .test_ps import BLOCKED, NOBODY, as_root, program, ps, refused, unix_only

home = test_ps.home


pytestmark = unix_only


# Who may ask.


def test_nobody_else_can_reach_the_socket(home: Path) -> None:
    with program("run(idle)") as running:
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / str(running.pid)).stat().st_mode) == 0o600


@as_root
def test_another_users_process() -> None:
    asks = f"""
import os, sys
from socket2.debug.inquiry import Unanswered, ask
os.setuid({NOBODY})
try:
    ask(int(sys.argv[1]), "ps")
except Unanswered as error:
    print(error)
"""
    with program("run(idle)") as running:
        done = as_another(asks, str(running.pid))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"process {running.pid} belongs to another user\n"


@as_root
@pytest.mark.parametrize(("user", "answer"), [(NOBODY, ""), (0, "ok\nprocess ")])
def test_another_user_who_gets_through_to_the_socket_is_told_nothing(home: Path, user: int, answer: str) -> None:
    asks = f"""
import os, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    directory = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)
    os.setuid({user})
    sock.connect(f"/proc/self/fd/{{directory}}/{{os.path.basename(sys.argv[1])}}")
    try:
        sock.sendall(b"ps\\n")
        print(sock.recv(100).decode(), end="")
    except (BrokenPipeError, ConnectionResetError):
        pass
"""
    with program("run(idle)") as running:
        home.chmod(0o755)
        path = home / str(running.pid)
        path.chmod(0o666)
        done = as_another(asks, str(path))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(answer)
        assert bool(done.stdout) == bool(answer)


def as_another(code: str, argument: str) -> subprocess.CompletedProcess[str]:
    """Run a program that switches to another user after it has loaded its modules."""
    return subprocess.run(
        [sys.executable, "-c", code, argument],
        env=os.environ | SEARCH,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_directory_that_others_may_enter_is_not_used(home: Path, mode: int) -> None:
    home.mkdir()
    home.chmod(mode)
    with program("run(idle)") as running:
        running.complains(b"is not a directory that is private to user")
        assert list(home.iterdir()) == []
        assert "is not a directory that is private" in refused(running.pid)


def test_a_link_to_somewhere_else_is_not_used(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    home.symlink_to(elsewhere)
    with program("run(idle)") as running:
        running.complains(b"is not a directory that is private to user")
        assert list(elsewhere.iterdir()) == []


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with program("run(idle)", SOCKET2_DEBUG_DIR=str(tmp_path / ("long" * 40))) as running:
        running.complains(b"will get no answer: ")


@as_root
def test_a_process_with_temporary_files_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd gives services such a directory."""
    home.mkdir()
    if subprocess.run([needs("unshare"), "-m", "mount", "-t", "tmpfs", "none", home], check=False).returncode != 0:
        pytest.skip("this system does not allow mounts")
    monkeypatch.setenv("SOCKET2_DEBUG_DIR", str(home / "d"))
    own = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {home} && exec "$@"', "sh"]
    with program("run(idle)", own) as running:
        assert not (home / "d").exists()
        assert "idle" in ps(running.pid)


# The signal.


def test_a_signal_has_everything_told_and_the_program_goes_on() -> None:
    text = """
        def main():
            say("ready")
            while True:
                yield from sleep(1000)

        run(main)
    """
    with program(text) as running:
        for _ in range(2):
            running.send_signal(signal.SIGUSR1)
            wait_for_stderr(running, rb"thread 'main', waiting, sleep of 1000 s, .*yield from sleep\(1000\)|in main\n")
        assert "sleep of 1000 s" in ps(running.pid)


def wait_for_stderr(running: Program, pattern: bytes) -> None:
    for _ in range(int(LIMIT_S / 0.01)):
        if re.search(pattern, running.stderr(), re.DOTALL):
            return
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        signal.sigtimedwait([], 0.01)
    pytest.fail(f"stderr: {running.stderr()!r}")


def test_a_signal_is_answered_while_the_loop_is_blocked() -> None:
    with program(BLOCKED) as running:
        running.send_signal(signal.SIGUSR1)
        wait_for_stderr(running, rb"thread 'blocker', running, in OS thread MainThread, .*in block\n")


def test_a_handler_of_the_program_is_left_alone() -> None:
    text = """
        debug.disable()
        signal.signal(signal.SIGUSR1, lambda *_: say("mine"))
        debug.enable()
        run(idle)
    """
    with program(text) as running:
        running.send_signal(signal.SIGUSR1)
        running.announced("^mine$")


# Forks.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_answers_for_itself_from_its_first_thread_on() -> None:
    text = """
        def waits(name):
            say(name)
            yield from sleep(1000)

        def in_parent():
            yield from newthread(waits, "ready", name="of the parent").join()

        def in_child():
            yield from newthread(waits, f"child {os.getpid()}", name="of the child").join()

        if (child := os.fork()) == 0:
            run(in_child)
        run(in_parent)
    """
    with program(text) as parent:
        child = int(parent.announced(r"^child (\d+)$")[1])
        assert "of the child" in (told := ps(child))
        assert "of the parent" not in told
        assert f"process {child}, " in told
        assert "of the parent" in (told := ps(parent.pid))
        assert "of the child" not in told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_waits_for_a_report_that_may_hold_locks() -> None:
    """Otherwise nobody would release them in the child."""
    text = """
        from pollers import lock
        from socket2.debug import listing

        def slow(now):
            with lock:
                reporting.set()
                threading.Event().wait(0.2)  # the fork comes meanwhile
            return ""

        reporting = threading.Event()
        listing.REPORTS["slow"] = slow
        say("ready")
        reporting.wait()
        if (child := os.fork()) == 0:
            signal.alarm(10)
            with lock:
                os._exit(0)
        say(f"status {os.waitpid(child, 0)[1]}")
    """
    with program(text) as running:
        assert inquiry.ask(running.pid, "slow") == ""
        assert running.announced(r"^status (\d+)$")[1] == b"0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_is_forked_during_an_answer_does_not_keep_its_end_from_the_asker() -> None:
    text = """
        from socket2.debug import inquiry

        def answer(question):
            if os.fork() == 0:
                signal.pause()
            return real(question)

        real, inquiry._answer = inquiry._answer, answer
        run(idle)
    """
    with program(text) as running:
        assert "idle" in inquiry.ask(running.pid, "ps")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_does_not_wait_for_ever_for_a_report_that_waits_for_the_forking_thread() -> None:
    text = """
        from socket2.debug import listing

        def slow(now):
            reporting.set()
            with mine:
                return ""

        mine, reporting = threading.Lock(), threading.Event()
        listing.REPORTS["slow"] = slow
        say("ready")
        with mine:
            reporting.wait()
            if (child := os.fork()) == 0:
                debug.disable()
                debug.enable()
                say("child")
                signal.pause()
        say("parent")
        signal.pause()
    """
    with program(text) as running:
        assert inquiry.ask(running.pid, "slow") == ""
        running.announced("^parent$")
        running.announced("^child$")


# What does not change.


def test_a_deadlock_is_still_told() -> None:
    text = """
        say("ready")
        try:
            run(suspend)
        except RuntimeError as error:
            say(str(error))
    """
    with program(text) as running:
        assert running.announced("deadlock: ")
        assert running.wait() == 0


def test_switching_on_and_off_leaves_nothing(home: Path) -> None:
    """It also leaves no descriptor and no OS thread: a fixture checks this after every test."""
    for _ in range(50):
        debug.enable()
        debug.enable()
        assert [path.name for path in home.iterdir()] == [str(os.getpid())]
        assert inquiry.ask(os.getpid(), "ps").startswith("process ")
        debug.disable()
        assert list(home.iterdir()) == []
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
