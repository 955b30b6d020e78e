"""`top`: what is on the screen, and how it ends. A pseudo-terminal is its keyboard and screen."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from socket2.console.rates import KindRates, ProcessRates, QueueLengths, Rates, ServerRates
from socket2.debug import inquiry

from ..debug import test_ps
from ..debug.test_ps import program
from ..interop.peers import LIMIT_S, connect, receive_exactly
from ..test_main import PYTHON_M, SEARCH, call
from .test_ps_supervisor import supervisor, wait_until

pytest.importorskip("rich")

home = test_ps.home

unix_only = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
needs_terminal = pytest.mark.skipif(not hasattr(os, "login_tty"), reason="this system has no pseudo-terminals")


def drawn(rates: Rates, heading: str = "heading", rows_max: int = 10, width: int = 160) -> str:
    from rich.console import Console

    from socket2.console.screen import picture

    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(picture(rates, heading, rows_max))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def test_the_screen() -> None:
    processes = [
        ProcessRates("process", 7, "", 0.123, 21_000_000, 12, 3, 20, 345.6, 1000.4),
        ProcessRates("worker 1", 8, "serving", trouble="process 8 did not answer"),
    ]
    kinds = [
        KindRates("handle", 20, 1.5, 0.5, 345.6, 999.9, 0.089, 0.000_25, "app.py:5"),
        KindRates("main", 1, slowest_s=1.5, slowest_at="app.py:9"),
    ]
    servers = [ServerRates("handle", ["127.0.0.1:80", "[::1]:80"], 20, 0.25, 345.6)]
    queues = [QueueLengths("queue", "app.py:3", 2, 70, 50, 50, 0, 4)]
    lines = [re.sub("  +", "|", line) for line in drawn(Rates(processes, kinds, servers, queues)).splitlines()]
    assert lines == [
        "heading",
        "PROCESS|PID|STATE|CPU|MEMORY|THREADS|READY|CONNECTIONS|REQUESTS/s|EVENTS/s",
        "process|7|12.3 %|21 MB|12|3|20|346|1000",
        "worker 1|8|serving, no answer|-|-|-|-|-|-|-",
        "",
        "SERVER|LISTENS ON|CONNECTIONS|ACCEPTED/s|REQUESTS/s",
        "handle|127.0.0.1:80, [::1]:80|20|0.2|346",
        "",
        "THREADS OF|ALIVE|STARTED/s|ENDED/s|REQUESTS/s|TURNS/s|BUSY|SLOWEST TURN|WHICH ENDED AT",
        "handle|20|1.5|0.5|346|1000|8.9 %|0.25 ms|app.py:5",
        "main|1|0|0|-|0|0.0 %|1.5 s|app.py:9",
        "",
        "QUEUE MADE AT|KIND|QUEUES|ITEMS|LONGEST|SIZE|GETTING|PUTTING",
        "app.py:3|queue|2|70|50|50|0|4",
        "",
        "process 8 did not answer",
    ]


PLACE = "/home/somebody/a_rather_long_directory_name/another_long_directory/server_program_with_jobs.py:12"


def test_long_paths_are_cut_at_the_left_and_no_number_is_cut() -> None:
    name = "a_program_with_a_long_name.handler"
    processes = [ProcessRates("process", 7, "", 0.123, 21_000_000, 12, 3, 20, 345.6, 1000.4)]
    kinds = [KindRates(name, 20, 1.5, 0.5, 345.6, 999.9, 1.2345, 0.000_25, PLACE)]
    servers = [ServerRates("handle", ["127.0.0.1:80"] * 9, 20, 0.25, 345.6)]
    queues = [QueueLengths("queue", PLACE, 2, 70, 50, 50, 0, 4)]
    rates = Rates(processes, kinds, servers, queues)
    for width in (80, 100, 150, 240):
        text = drawn(rates, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert re.search(r"ALIVE +STARTED/s +ENDED/s +REQUESTS/s +TURNS/s +BUSY +SLOWEST TURN", text)
        assert re.search(r" 20 +1.5 +0.5 +346 +1000 +123.4 % +0.25 ms", text)
        assert re.search(r"^…?\S*jobs.py:12 +queue +2 +70 +50 +50 +0 +4$", text, re.MULTILINE)
        assert re.search(r" 20 +0.2 +346$", text, re.MULTILINE)
        assert re.search(r"^process +7 +12.3 % +21 MB +12 +3 +20 +346 +1000$", text, re.MULTILINE)
        assert text.count("WHICH ENDED AT") == text.count("jobs.py:12") - 1 == (width > 80)
    assert name in drawn(rates, width=150)
    assert text.count(PLACE) == 2
    drawn(rates, width=10)


def test_wide_letters_are_cut_to_the_width_of_the_column() -> None:
    text = drawn(Rates([], [KindRates("漢字" * 40, slowest_at="漢字" * 40 + ".py:1")], [], []), width=120)
    assert "字.py:1" in text
    assert "0.0 %" in text


def test_names_are_neither_markup_nor_obeyed_by_the_terminal() -> None:
    name = "[bold]\x1b[31m[/nothing]"
    text = drawn(Rates([ProcessRates(name, 1, "")], [KindRates(name)], [ServerRates(name)], []), name)
    assert "\x1b" not in text
    assert text.count("[bold]\\x1b[31m[/nothing]") == 4


def test_a_table_is_no_longer_than_the_screen() -> None:
    kinds = [KindRates(f"kind {n}") for n in range(50)]
    assert drawn(Rates([], kinds, [], []), rows_max=5).count("kind ") == 5


@unix_only
def test_pictures_are_printed_if_there_is_no_terminal() -> None:
    with program("run(idle)") as running:
        done = call("top", str(running.pid), "--every", "0.01", "--times", "2")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count(f"process {running.pid}, socket2 ") == 2
        assert "debugging is on" in done.stdout
        assert re.search(r"^idle +1 +0 +0 +- +0 +0\.0 %", done.stdout, re.MULTILINE)
        assert "\x1b" not in done.stdout


BUSY = """
    import time

    def turn(n):
        time.sleep(n)

    def slow():
        queue = socket2.Queue(5)
        for item in range(3):
            queue.put_nowait(item)
        yield from sleep(0)
        turn(0.05)
        say("ready")
        yield from sleep(1000)

    run(slow)
"""


@unix_only
def test_slow_turns_and_queues() -> None:
    with program(BUSY) as running:
        wait_until(lambda: "waiting" in inquiry.ask(running.pid, "ps"))
        done = call("top", str(running.pid), "--times", "1")
        assert re.search(r"^slow .* [\d.]+ ms +<string>:\d+ *$", done.stdout, re.MULTILINE)
        assert re.search(r"^<string>:\d+ +queue +1 +3 +3 +5 +0 +0 *$", done.stdout, re.MULTILINE)


@unix_only
def test_what_cannot_be_asked_is_told_in_one_line() -> None:
    done = call("top", str(2**30))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"python -m socket2: there is no process {2**30}\n"


def test_without_rich_it_says_what_to_install() -> None:
    text = "import runpy, sys; sys.modules['rich'] = None; sys.argv = ['socket2', 'top', '1']"
    command = [sys.executable, "-c", f"{text}; runpy.run_module('socket2', run_name='__main__')"]
    done = subprocess.run(command, env=os.environ | SEARCH, capture_output=True, timeout=LIMIT_S, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "python -m socket2: top needs the package rich: pip install 'socket2[top]'\n"


# On a terminal.

LOGIN = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"


class Screen:
    """A command on a pseudo-terminal."""

    def __init__(self, command: list[str], **env: str) -> None:
        self.keyboard, terminal = os.openpty()
        with os.fdopen(terminal, "wb", 0):
            size = {"TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
            self.process = subprocess.Popen(
                [sys.executable, "-c", LOGIN, str(terminal), *command[1:]],
                pass_fds=[terminal],
                env=os.environ | SEARCH | size | env,
            )
        self.text = b""

    def shows(self, pattern: bytes) -> None:
        give_up = monotonic() + LIMIT_S
        while not re.search(pattern, self.text):
            assert monotonic() < give_up, self.text
            self.text += os.read(self.keyboard, 1 << 16)

    def press(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def ends(self) -> int:
        while True:
            try:
                more = os.read(self.keyboard, 1 << 16)
            except OSError:  # Linux reports the end of the other side as EIO
                break
            if not more:
                break
            self.text += more
        return self.process.wait(LIMIT_S)


@contextmanager
def screen(command: list[str]) -> Iterator[Screen]:
    shown = Screen(command)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        os.close(shown.keyboard)


@needs_terminal
@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_a_key_ends_it_and_the_terminal_is_as_before(key: bytes) -> None:
    with program("run(idle)") as running, screen([*PYTHON_M, "top", str(running.pid), "--every", "1000"]) as shown:
        shown.shows(rb"idle")
        assert b"\x1b[?1049h" in shown.text, "it has a screen of its own"
        assert f"process {running.pid}, ".encode() in shown.text
        shown.press(key)
        assert shown.ends() == 0
        assert shown.text.rindex(b"\x1b[?1049l") > shown.text.rindex(b"\x1b[?1049h")
        assert b"Traceback" not in shown.text


@needs_terminal
def test_another_key_draws_it_anew_at_once() -> None:
    with program("run(idle)") as running, screen([*PYTHON_M, "top", str(running.pid), "--every", "1000"]) as shown:
        for _ in range(3):
            shown.shows(rb"idle")
            shown.text = b""
            shown.press(b" ")
        shown.press(b"xxq")
        assert shown.ends() == 0


@needs_terminal
def test_it_ends_with_its_process() -> None:
    with program("run(idle)") as running, screen([*PYTHON_M, "top", str(running.pid), "--every", "0.01"]) as shown:
        shown.shows(rb"idle")
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert shown.ends() == 1
        assert re.search(rb"\x1b\[\?1049l(.|\n)*python -m socket2: (there is no process|process \d+)", shown.text)


@needs_terminal
def test_ps_on_a_terminal_is_redrawn_in_place() -> None:
    with program("run(idle)") as running, screen([*PYTHON_M, "ps", "--watch", "0.01", str(running.pid)]) as shown:
        shown.shows(rb"(?s)idle.*\x1b\[H.*idle.*\x1b\[J")
        shown.press(b"\x03")
        assert shown.ends() == 0


@needs_terminal
def test_top_of_a_supervisor() -> None:
    with supervisor() as (running, port, _), connect("127.0.0.1", port) as client:
        client.sendall(b"x")
        assert receive_exactly(client, 1) == b"x"
        done = call("top", str(running.pid), "--times", "1")
        assert (done.returncode, done.stderr) == (0, "")
        rows = [re.split("  +", line)[0] for line in done.stdout.splitlines()]
        assert rows[2:6] == ["all", "supervisor", "worker 0", "worker 1"]
        assert re.search(rf"^handle +127\.0\.0\.1:{port} +1 +0 +0$", done.stdout, re.MULTILINE)
