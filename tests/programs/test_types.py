"""The examples are typed to the end: nothing that they get from socket2, or pass to it, is Any."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..interop.peers import ROOT
from .running import EXAMPLES

pytest.importorskip("mypy")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="types do not depend on the system")

# The APIs of LuaSocket and of Node's net are dynamic: what a call returns depends on values.
DYNAMIC = {"echo_server_net.py", "throttled_server.py"}

PROGRAMS = [path for path in sorted(EXAMPLES.glob("*.py")) if path.name not in DYNAMIC]
SIDE_BY_SIDE = sorted((EXAMPLES / "side_by_side").glob("socket2_*.py"))


# What is wrong here is found, which shows that the rest would be.
WRONG = """
from typing import Any
import socket2

async def main(port: Any, conn: socket2.TCP) -> None:
    await socket2.connect("127.0.0.1", port)
    print(conn.getsockname(), socket2.stream(conn).sock, conn.closed)
    socket2.newthread(main, 1, conn)
    socket2.newthread(forgetful)

def forgetful() -> Any: ...
"""


def test_no_call_of_ours_is_any(tmp_path: Path) -> None:
    """One run of mypy checks all programs: socket2 takes most of its time."""
    from .anys import places_of_any

    wrong = tmp_path / "a_wrong_program.py"
    wrong.write_text(WRONG)
    found, calls = places_of_any([*PROGRAMS, *SIDE_BY_SIDE, wrong])
    places = [place for place in found if not place.startswith(f"{wrong.name}:")]
    assert not places, "\n".join(places)
    assert calls[wrong.name] == 5
    assert sum(calls.values()) > 200
    assert [(int(place.split(":")[1]), place.split(": ")[1].split(" is ")[0]) for place in found] == [
        (6, "an argument"),
        (7, "the result"),
        (7, "'sock'"),
        (9, "the result"),
        (9, "what an argument returns"),
    ]


def test_mypy_agrees_with_the_tests(tmp_path: Path) -> None:
    pytest.importorskip("mypy.version", minversion="1.18", reason="mypy 1.18 is not installed")
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    modules = ["-m", "tests.threads.test_types", "-m", "tests.streams.test_types"]
    command = [sys.executable, "-m", "mypy", *options, *modules]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", PROGRAMS + SIDE_BY_SIDE, ids=lambda path: path.stem)
def test_no_type_is_asserted(path: Path) -> None:
    """Neither `cast` nor `type: ignore`."""
    assert not re.findall(r"\bcast\(|type: *ignore|noqa", path.read_text())
