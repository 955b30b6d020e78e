"""`ps` of a supervisor lists its workers; `--watch` goes on; `--json` has everything."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic
from typing import Any

import pytest

from socket2.__main__ import parse
from socket2.console import asking, redraw
from socket2.console.asking import Answer, Asked, ask_with_workers
from socket2.console.table import text_of_bytes, workers
from socket2.debug import inquiry
from socket2.debug.inquiry import Late, Unanswered

from ..debug import test_ps
from ..debug.test_ps import program, ps
from ..interop.peers import LIMIT_S, Program, connect, receive_exactly
from ..test_main import PYTHON_M, SEARCH, call

home = test_ps.home

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)

SUPERVISOR = """
    def handle(conn):
        while True:
            with socket2.between_requests():
                data = yield from conn.recv(100)
            if not data:
                return
            yield from conn.sendall(data)

    def ready(workers):
        say(f"port {workers.addresses[0][1]} workers {workers.pids}")
        say("ready")

    socket2.serve_workers(handle, "127.0.0.1", workers=2, ready=ready)
"""


@contextmanager
def supervisor(text: str = SUPERVISOR, **env: str) -> Iterator[tuple[Program, int, list[int]]]:
    with program(text, **env) as running:
        match = running.announced(r"^port (\d+) workers \[(.*)\]$")
        pids = [int(pid) for pid in match[2].split(b",")]
        for pid in pids:
            wait_until(partial(ask_or_none, pid))
        yield running, int(match[1]), pids


def wait_until(look: Any) -> None:
    give_up = monotonic() + LIMIT_S
    while not look():
        assert monotonic() < give_up


def is_stopped(pid: int) -> bool:
    """Whether a process no longer answers: a SIGSTOP takes its time."""
    try:
        inquiry.ask(pid, "facts", 0.1)
    except Late:
        return True
    return False


def ask_or_none(pid: int) -> Any:
    try:
        return json.loads(inquiry.ask(pid, "facts"))
    except Unanswered:
        return None


def rows_of(text: str) -> dict[int, list[str]]:
    """Return the cells of each line of the table of workers, by process ID."""
    lines = [re.split(r"  +", line) for line in text.splitlines()]
    return {int(cells[1]): cells for cells in lines if len(cells) == 11 and cells[1].isdecimal()}


def requests(pids: list[int]) -> int:
    return sum(server["requests"] for pid in pids for server in ask_or_none(pid)["servers"])


def test_it_lists_the_workers_with_what_they_have_done() -> None:
    with supervisor() as (running, port, pids), ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(connect("127.0.0.1", port))
            for _ in range(2):
                client.sendall(b"hello")
                assert receive_exactly(client, 5) == b"hello"
        with connect("127.0.0.1", port) as client:
            client.sendall(b"bye")
            assert receive_exactly(client, 3) == b"bye"
        wait_until(lambda: requests(pids) == 8)  # six, one, and the end of a stream
        text = ps(running.pid)
        assert text.startswith(f"supervisor {running.pid}, socket2 ")
        assert f"\n2 workers on 127.0.0.1:{port}\n" in text
        rows = rows_of(text)
        assert list(rows) == pids
        assert [cells[0] for cells in rows.values()] == ["0", "1"]
        assert {tuple(cells[2:4]) for cells in rows.values()} == {("serving", "1")}
        counts = [sum(int(cells[column]) for cells in rows.values()) for column in (5, 6, 7)]
        assert counts == [3, 4, 8]
        assert {cells[10] for cells in rows.values()} == {f"127.0.0.1:{port}"}
        if os.path.exists("/proc/self/statm"):
            assert all(re.fullmatch(r"[\d.]+ MB", cells[9]) for cells in rows.values())


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--threads", r"^accept on 127.0.0.1:\d+ +waiting "),
        ("--tree", r"^  accept on 127.0.0.1:\d+ +waiting "),
        ("--stacks", r"^  File .*, in Server._accept$"),
        ("--stats", r"^loop of MainThread: poller "),
    ],
)
def test_it_shows_the_threads_of_each_worker_if_asked_to(option: str, text: str) -> None:
    with supervisor() as (running, _, pids):
        told = ps(running.pid, option)
        assert list(rows_of(told)) == pids
        for number, pid in enumerate(pids):
            assert f"\nworker {number}: process {pid}, " in told
        assert len(re.findall(text, told, re.MULTILINE)) == 2
    with program("run(idle)") as running:
        assert f"process {running.pid}, " in ps(running.pid, option)


def test_a_worker_that_is_stopped_is_shown_as_such_and_does_not_hold_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with supervisor() as (running, _, pids):
        os.kill(pids[0], signal.SIGSTOP)
        try:
            wait_until(lambda: is_stopped(pids[0]))
            asked = ask_with_workers(running.pid, limit_s=2)
        finally:
            os.kill(pids[0], signal.SIGCONT)
        text = workers(asked)
        rows = rows_of(text)
        assert (rows[pids[0]][2], rows[pids[1]][2]) == ("serving, no answer", "serving")
        assert text.endswith(
            f"\nprocess {pids[0]} did not answer within 2 s: it is stopped, or C code holds its interpreter\n"
        )
        assert len(asked.processes) == 2


def test_a_worker_that_dies_is_replaced_and_counted() -> None:
    with supervisor() as (running, _, pids):
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: serving(running.pid) - set(pids))
        (successor,) = serving(running.pid) - set(pids)
        wait_until(lambda: ask_or_none(successor) is not None)
        rows = rows_of(ps(running.pid))
        assert rows.keys() == {successor, pids[1]}
        assert [rows[pid][3] for pid in (successor, pids[1])] == ["2", "1"]


def serving(pid: int) -> set[int]:
    workers = json.loads(inquiry.ask(pid, "facts"))["supervisor"]["workers"]
    return {worker["pid"] for worker in workers if worker["state"] == "serving"}


DIES = """
    def work(its, listeners):
        say(f"dies {os.getpid()}")
        its.sendall(READY)
        os._exit(1)

    from socket2.servers.staff import READY
    from socket2.servers.supervisor import Workers
    say("ready")
    Workers(work, 1, [("127.0.0.1", 1)], 0).run(None)
"""


def test_a_worker_that_is_missing_says_when_it_starts() -> None:
    with program(DIES) as running:
        for _ in range(4):
            running.announced("^dies ")
        wait_until(lambda: " missing, starts in " in ps(running.pid))


def test_workers_do_not_answer_as_a_supervisor() -> None:
    with supervisor() as (_, _, pids):
        assert ps(pids[0]).startswith(f"process {pids[0]}, ")
        assert ask_or_none(pids[0])["supervisor"] is None


def facts_of_a_supervisor(**worker: Any) -> dict[str, Any]:
    listed = {"number": 0, "pid": 7, "state": "serving", "age_s": 1.0, "start_s": None, "starts": 1} | worker
    supervisor = {"workers": [listed], "addresses": ["\x1b[31m"], "stopping": True}
    return {"pid": 1, "socket2": "0", "python": "3", "time": "now", "memory_bytes": None, "supervisor": supervisor}


def test_a_worker_that_ends_while_it_is_asked() -> None:
    asked = Asked(facts_of_a_supervisor(), {7: Answer(7, None, "there is no process 7")})
    text = workers(asked)
    assert "1 workers on \\x1b[31m, stopping\n" in text
    assert rows_of(text)[7][2:] == ["serving, no answer", "1", "1 s", *["-"] * 6]
    assert text.endswith("\nthere is no process 7\n")
    assert json.loads(asked.as_json())["supervisor"]["workers"][0]["trouble"] == "there is no process 7"


def test_an_answer_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed while it answers."""
    monkeypatch.setattr(asking, "ask", lambda pid, question, limit_s: '{"pid": 7, "socket2": "0.')
    with pytest.raises(Unanswered, match="process 7 ended while it answered"):
        ask_with_workers(7)
    assert asking.ask_each([7], "facts") == [Answer(7, None, "process 7 ended while it answered")]


def test_sizes() -> None:
    assert [text_of_bytes(n) for n in (None, 512, 18_509_824, 2_000_000_000)] == ["-", "0.512 kB", "18.5 MB", "2 GB"]


# As JSON.


def test_everything_as_json() -> None:
    with supervisor() as (running, port, pids), connect("127.0.0.1", port) as client:
        client.sendall(b"x")
        assert receive_exactly(client, 1) == b"x"
        (line,) = ps(running.pid, "--json").splitlines()
        told = json.loads(line)
        assert told["pid"] == running.pid
        listed = told["supervisor"]["workers"]
        assert [(worker["pid"], worker["trouble"]) for worker in listed] == [(pid, None) for pid in pids]
        threads = [thread for worker in listed for thread in worker["process"]["threads"]]
        peers = [thread["peer"] for thread in threads if thread["name"].startswith("handle ")]
        assert peers == ["{}:{}".format(*client.getsockname())]
    with program("run(idle)") as running:
        told = json.loads(ps(running.pid, "--json"))
        assert (told["supervisor"], [thread["name"] for thread in told["threads"]]) == (None, ["idle"])
        assert told["kinds"]["idle"]["alive"] == told["kinds"]["idle"]["started"] == 1


# Again and again.


def test_successive_listings_are_printed_until_ctrl_c() -> None:
    with program("run(idle)") as running, Program([*PYTHON_M, "ps", "--watch", "0.01", str(running.pid)]) as watching:
        wait_until(lambda: watching.stdout().count(b"process ") >= 3)
        assert b"\n\nprocess " in watching.stdout()
        assert b"\x1b" not in watching.stdout()
        watching.send_signal(signal.SIGINT)
        assert (watching.wait(), watching.stderr()) == (0, b"")


def test_a_listing_ends_with_its_process() -> None:
    with program("run(idle)") as running:
        with Program([*PYTHON_M, "ps", str(running.pid), "--watch", "0.01"], env=SEARCH) as watching:
            watching.announced("^process ")
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            assert watching.wait() == 1
            assert watching.stderr().decode().count("\n") == 1


@pytest.mark.parametrize("words", [["--watch"], ["--watch", "2"], ["--watch", "2", "--stats"]])
def test_seconds_and_the_process_are_told_apart(words: list[str]) -> None:
    options = parse(["ps", *words, "4711"])
    assert (options.pid, options.watch) == (4711, 2.0 * ("2" in words))
    options = parse(["ps", "4711", *words])
    assert (options.pid, options.watch) == (4711, 2.0 * ("2" in words))


@pytest.mark.parametrize("words", [[], ["--watch"], ["--watch", "0"], ["--watch", "nan", "1"], ["--watch", "1.5"]])
def test_what_is_no_usage_of_ps(words: list[str]) -> None:
    done = call("ps", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m socket2 ps")


def test_a_reader_that_leaves_is_no_error() -> None:
    with program("run(idle)") as running:
        reader, writer = os.pipe()
        os.close(reader)
        command = [*PYTHON_M, "ps", "--watch", "0.01", str(running.pid)]
        with open(writer, "wb") as out:
            done = subprocess.run(
                command, stdout=out, stderr=subprocess.PIPE, env=os.environ | SEARCH, timeout=LIMIT_S, check=False
            )
        assert (done.returncode, done.stderr) == (1, b"")


class Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...


def test_on_a_terminal_it_is_redrawn_in_place_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    text: list[str | Late] = ["wide" * 30 + "\n" + "line\n" * 50]
    terminal, listings = Terminal(), iter([*text, Late("too late")])
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")

    def make() -> str:
        following = next(listings)
        if isinstance(following, Exception):
            raise following
        return following

    with pytest.raises(StopIteration):
        redraw.watch(make, 0.001)
    first, second = terminal.text.split("\x1b[H\x1b[2J")[1].split("\x1b[J")[:2]
    assert first.count("\r\n") == 4
    assert first.startswith("\x1b[H" + "wide" * 5 + "\x1b[K\r\n")
    assert "... and 48 more line\x1b[K\r\n" in first
    assert second == "\x1b[Htoo late\x1b[K\r\n"


def test_a_first_answer_that_is_late_ends_it() -> None:
    def make() -> str:
        raise Late("too late")

    with pytest.raises(Late):
        redraw.watch(make, 0.001)
