"""The examples that run commands, as programs."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from .interop.peers import ROOT, Program, python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot wait for pipes")

EXAMPLES = ROOT / "examples"


def test_lines_of_a_command_with_their_times() -> None:
    command = "echo out; echo err >&2; printf 'no end'; exit 3"
    with python(EXAMPLES / "follow_command.py", "sh", "-c", command) as program:
        assert program.wait() == 3
        assert program.stderr() == b""
        lines = program.stdout().decode().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} [ !] ", line) for line in lines)
    assert sorted(line[13:] for line in lines) == ["  no end", "  out", "! err"]


STUBBORN = "trap 'echo ending; exit 0' TERM; echo begun; while true; do sleep 0.05; done"


@pytest.mark.parametrize("how", ["--limit", "Ctrl-C"])
def test_a_command_that_is_told_to_end_has_its_last_word(how: str) -> None:
    options = ["--limit", "1"] if how == "--limit" else []
    with python(EXAMPLES / "follow_command.py", *options, "--grace", "60", "sh", "-c", STUBBORN) as program:
        program.announced("begun")
        if how == "Ctrl-C":
            program.send_signal(signal.SIGINT)
        assert program.wait() == (124 if options else 130)
        assert program.stdout().decode().splitlines()[-1].endswith("ending")


def test_a_command_that_does_not_end_is_killed() -> None:
    command = "trap '' TERM; echo begun; while true; do sleep 0.05; done"
    with python(EXAMPLES / "follow_command.py", "--grace", "0.1", "sh", "-c", command) as program:
        program.announced("begun")
        program.send_signal(signal.SIGINT)
        assert program.wait() == 130


def test_a_command_that_does_not_exist() -> None:
    for example in ("follow_command.py", "pipeline.py"):
        with python(EXAMPLES / example, "/no/such/program") as program:
            assert program.wait() == 127
            assert b"No such file" in program.stderr()
            assert b"Traceback" not in program.stderr()


def test_a_pipeline_of_commands(tmp_path: Path) -> None:
    evens = ["seq 10", "grep [02468]$", "head -n 2"]
    with python(EXAMPLES / "pipeline.py", "--output", str(tmp_path / "evens"), *evens) as program:
        assert program.wait() == 0
        assert (tmp_path / "evens").read_text() == "2\n4\n"
        assert program.stdout().decode().splitlines()[0] == "4 bytes"
        assert "head -n 2: ended with 0" in program.stdout().decode()
    command = [sys.executable, "-W", "error", str(EXAMPLES / "pipeline.py"), "cat", "tr a-z A-Z"]
    with Program(command, env={"PYTHONPATH": str(ROOT)}, stdin=b"given\n") as program:
        assert program.wait() == 0
        assert program.stdout() == b"GIVEN\n"
        assert program.stderr() == b""


def test_a_pipeline_that_takes_too_long_is_killed() -> None:
    with python(EXAMPLES / "pipeline.py", "--limit", "0.3", "sleep 60", "cat") as program:
        assert program.wait() == 124
        assert program.stderr() == b"not finished after 0.3 s\n"
