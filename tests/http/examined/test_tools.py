"""Programs that load a server: ab and wrk at full speed, slowhttptest as slowly as it gets away with."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...interop.peers import LIMIT_S, needs, python

SERVER = """
from socket2 import http

async def answer(request):
    await request.respond(200, await request.read() or b"hello")

if __name__ == "__main__":
    limits = http.Limits(head_s=2, idle_s=2, body_s=2, send_s=2)
    http.serve(answer, "127.0.0.1", 0, limits=limits, ready=lambda server: print(server.addresses[0][1], flush=True))
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a server in a process of its own, so that it can be looked at from outside. Return its URL."""
    path = folder / "server.py"
    path.write_text(SERVER)
    with python(path) as program:
        port = program.port(r"(\d+)")
        yield f"http://127.0.0.1:{port}/"
        program.process.terminate()
        assert (program.wait(), program.stderr()) == (0, b"")


def said(*command: str) -> str:
    """Return what it prints, without colours."""
    done = subprocess.run(command, capture_output=True, timeout=2 * LIMIT_S, check=True, text=True)
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_ab(keep_alive: bool, tmp_path: Path) -> None:
    ab = needs("ab", "apache2-utils")
    with serving(tmp_path) as url:
        found = said(ab, "-q", "-n", "2000", "-c", "50", *["-k"] * keep_alive, url)
    assert re.search(r"Complete requests: +2000\n", found)
    assert re.search(r"Failed requests: +0\n", found)
    assert re.search(r"Keep-Alive requests: +2000\n", found) or not keep_alive
    assert "Non-2xx" not in found


def test_wrk(tmp_path: Path) -> None:
    wrk = needs("wrk")
    with serving(tmp_path) as url:
        found = said(wrk, "-t", "1", "-c", "50", "-d", "1s", url)
    assert re.search(r"[1-9][0-9]* requests in ", found)
    assert "Socket errors" not in found
    assert "Non-2xx" not in found


@pytest.mark.parametrize("how", ["-H", "-B", "-X"], ids=["head", "body", "receive"])
def test_slowhttptest(how: str, tmp_path: Path) -> None:
    """Others are served meanwhile. Slow heads and bodies are cut off, and leave nothing."""
    slow = needs("slowhttptest")
    with serving(tmp_path) as url:
        found = said(slow, how, "-c", "300", "-r", "300", "-i", "1", "-l", "10", "-p", "5", "-u", url)
        assert re.search(r"service available: +YES", found)
        assert not re.search(r"service available: +NO", found)
        if how != "-X":  # slowly received answers are shorter than what the system buffers
            assert "No open connections left" in found
