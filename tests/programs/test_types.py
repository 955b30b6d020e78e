"""The examples are typed to the end: nothing that they get from socket2, or pass to it, is Any."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .running import EXAMPLES

pytest.importorskip("mypy")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="types do not depend on the system")

# The APIs of LuaSocket and of Node's net are dynamic: what a call returns depends on values.
DYNAMIC = {"echo_server_net.py", "throttled_server.py"}

PROGRAMS = [path for path in sorted(EXAMPLES.glob("*.py")) if path.name not in DYNAMIC]
SIDE_BY_SIDE = sorted((EXAMPLES / "side_by_side").glob("socket2_*.py"))


def test_no_call_of_ours_is_any() -> None:
    from .anys import places_of_any

    places, calls = places_of_any(PROGRAMS + SIDE_BY_SIDE)
    assert not places, "\n".join(places)
    assert calls > 200


def test_an_any_is_found(tmp_path: Path) -> None:
    from .anys import places_of_any

    path = tmp_path / "program.py"
    path.write_text("""
from typing import Any
import socket2

async def main(port: Any, conn: socket2.TCP) -> None:
    await socket2.connect("127.0.0.1", port)
    print(conn.getsockname(), socket2.stream(conn).sock, conn.closed)
    socket2.newthread(main, 1, conn)
    socket2.newthread(forgetful)

def forgetful() -> Any: ...
""")
    places, calls = places_of_any([path])
    assert [(int(place.split(":")[1]), place.split(": ")[1].split(" is ")[0]) for place in places] == [
        (6, "an argument"),
        (7, "the result"),
        (7, "'sock'"),
        (9, "the result"),
        (9, "what an argument returns"),
    ]
    assert calls == 5


@pytest.mark.parametrize("path", PROGRAMS + SIDE_BY_SIDE, ids=lambda path: path.stem)
def test_no_type_is_asserted(path: Path) -> None:
    """Neither `cast` nor `type: ignore`."""
    assert not re.findall(r"\bcast\(|type: *ignore|noqa", path.read_text())
