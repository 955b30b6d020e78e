"""Asking a process from outside what its threads do: idle, blocked, forked, stopped, or not there at all."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from socket2.debug import inquiry
from socket2.debug.inquiry import Unanswered

from ..interop.peers import LIMIT_S, OSThread, Program, connect, receive_exactly
from ..test_main import SEARCH, call, echo

NOBODY = 65534

unix_only = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

pytestmark = unix_only


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory for the sockets of this test's processes."""
    path = tmp_path / "d"
    monkeypatch.setenv("SOCKET2_DEBUG_DIR", str(path))
    return path


@contextmanager
def program(text: str, by: Sequence[str] = (), **env: str) -> Iterator[Program]:
    """Run a program with debugging on, started `by` another. It is ready when it has printed "ready"."""
    head = """
        import os, signal, socket, sys, threading
        import socket2
        from socket2 import debug, newthread, run, sleep, suspend

        def say(what):
            os.write(1, what.encode() + b"\\n")

        def idle():
            say("ready")
            yield from sleep(1000)
    """
    code = textwrap.dedent(head) + textwrap.dedent(text)
    command = [*by, sys.executable, "-W", "error", "-c", code]
    with Program(command, env={"SOCKET2_DEBUG": "1"} | SEARCH | env) as running:
        running.announced("^ready$")
        yield running


def ps(pid: int, *options: str) -> str:
    done = call("ps", str(pid), *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(pid: int) -> str:
    """Ask in vain. Return the one line that says why."""
    done = call("ps", str(pid))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("python -m socket2: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def settle(pid: int, pattern: str) -> None:
    """Wait until a process reports this about itself."""
    give_up = monotonic() + LIMIT_S
    while not re.search(pattern, text := inquiry.ask(pid, "ps"), re.MULTILINE):
        assert monotonic() < give_up, text


BLOCKED = """
    def blocker():
        yield from sleep(0)
        block()

    def block():
        say("ready")
        threading.Event().wait()

    def waits():
        yield from suspend()

    newthread(waits, name="bystander")
    run(blocker)
"""


# What it reports.


def test_it_names_each_thread_of_the_echo_server_and_what_it_waits_for() -> None:
    with echo("127.0.0.1:0") as (server, port), connect("127.0.0.1", port) as client:
        client.sendall(b"hello")
        assert receive_exactly(client, 5) == b"hello"
        settle(server.pid, "^echo +waiting ")
        head, loop, _, headings, *rows = ps(server.pid).splitlines()
        assert head.startswith(f"process {server.pid}, socket2 ")
        assert loop.startswith("loop of MainThread: poller ")
        assert headings.split()[:4] == ["THREAD", "STATE", "FOR", "AGE"]
        accepting, receiving = rows
        assert re.match(r"serve_echo +waiting +\S+ m?s +\S+ m?s +accept on fd \d+", accepting)
        assert f" 127.0.0.1:{port} " in accepting
        assert re.match(r"echo +waiting +\S+ m?s +\S+ m?s +recv on fd \d+", receiving)
        assert " {}:{} ".format(*client.getsockname()) in receiving
        assert "__main__.py:" in accepting
        assert "__main__.py:" in receiving


def test_it_tells_who_has_started_whom_where_they_are_and_the_counters() -> None:
    with echo("127.0.0.1:0") as (server, port), connect("127.0.0.1", port) as client:
        client.sendall(b"hello")
        assert receive_exactly(client, 5) == b"hello"
        settle(server.pid, "^echo +waiting ")
        rows = ps(server.pid, "--tree").splitlines()[3:]
        assert [row.split("waiting")[0].rstrip() for row in rows] == ["serve_echo", "  echo"]
        stacks = ps(server.pid, "--stacks")
        assert ", started by 'serve_echo'\n" in stacks
        assert "    while data := (yield from conn.recv(_BLOCK)):\n" in stacks
        assert re.search(r"loop of MainThread: .*, threads 2, ", ps(server.pid, "--stats"))


def test_it_tells_what_blocks_a_loop() -> None:
    with program(BLOCKED) as blocked:
        text = ps(blocked.pid)
        assert re.search(r"^bystander +waiting ", text, re.MULTILINE)
        assert re.search(r"^blocker +running ", text, re.MULTILINE)
        assert "thread 'blocker', running, in OS thread MainThread, for " in text
        assert re.search(r"in blocker\n.*in block\n", text, re.DOTALL)


def test_it_tells_of_every_loop_of_the_process() -> None:
    text = """
        def waits(name):
            say(name)
            yield from suspend()

        def serve(name):
            yield from newthread(waits, name, name=name).join()

        threading.Thread(target=run, args=(serve, "aside"), name="other", daemon=True).start()
        def main():
            newthread(waits, "ready", name="here")
            yield from suspend()
        run(main)
    """
    with program(text) as running:
        running.announced("^aside$")
        settle(running.pid, "^aside +waiting ")
        settle(running.pid, "^here +waiting ")
        answer = ps(running.pid)
        assert re.search(r"^aside +waiting ", answer, re.MULTILINE)
        assert re.search(r"^here +waiting ", answer, re.MULTILINE)
        assert "loop of other: " in answer
        assert "loop of MainThread: " in answer


def test_it_can_be_asked_while_threads_come_and_go() -> None:
    text = """
        def child():
            yield from sleep(0)

        def main():
            say("ready")
            while True:
                for _ in range(20):
                    newthread(child)
                yield from sleep(0)

        run(main)
    """
    with program(text) as busy:
        for kind in ("ps", "tree", "stacks", "stats", "everything") * 10:
            assert inquiry.ask(busy.pid, kind).startswith(f"process {busy.pid}, ")


def test_several_may_ask_at_once() -> None:
    with program("run(idle)") as running:
        askers = [OSThread(inquiry.ask, running.pid, "stacks") for _ in range(10)]
        for asker in askers:
            asker.start()
        for asker in askers:
            assert "in idle" in asker.outcome()


def test_what_is_no_report_is_refused() -> None:
    with program("run(idle)") as running:
        with pytest.raises(Unanswered, match="unknown report 'x'"):
            inquiry.ask(running.pid, "x")
        with pytest.raises(Unanswered, match="unknown report"):
            inquiry.ask(running.pid, "y" * 50)
        assert "idle" in inquiry.ask(running.pid, "ps")


# When nobody answers.


def test_a_process_that_is_not_there() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(LIMIT_S)
    assert f"there is no process {ended.pid}" in refused(ended.pid)


def test_a_process_without_debugging() -> None:
    with program("run(idle)", SOCKET2_DEBUG="0") as running:
        assert "start it with SOCKET2_DEBUG=1" in refused(running.pid)


def test_a_process_that_was_killed_is_not_there_and_its_socket_is_swept_out(home: Path) -> None:
    with program("run(idle)") as running:
        pass
    assert [path.name for path in home.iterdir()] == [str(running.pid)]
    assert f"there is no process {running.pid}" in refused(running.pid)
    with program("run(idle)") as one, program("run(idle)") as other:
        assert {path.name for path in home.iterdir()} == {str(one.pid), str(other.pid)}


def test_a_process_that_ends_leaves_no_socket(home: Path) -> None:
    with program("say('ready')") as running:
        assert running.wait() == 0
        assert running.stderr() == b""
    assert list(home.iterdir()) == []


def test_a_process_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with program("run(idle)") as running:
        running.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr(inquiry, "ANSWER_S", 0.1)
        with pytest.raises(Unanswered, match="did not answer within 0.1 s: it is stopped"):
            inquiry.ask(running.pid, "ps")
        running.send_signal(signal.SIGCONT)
        monkeypatch.undo()


@pytest.mark.parametrize("pid", ["0", "-1", "x", "", "1.5", str(1 << 40)])
def test_something_that_is_no_process_number_is_an_error_of_usage(pid: str) -> None:
    done = call("ps", pid)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
