"""python -m socket2 serve, run as users run it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from socket2.http.command import handler_of

from ..interop import curl
from ..interop.peers import LIMIT_S, Program
from ..test_main import PYTHON_M, SEARCH
from ..test_main import call as command


@contextmanager
def serving(*args: str) -> Iterator[tuple[Program, int]]:
    with Program([*PYTHON_M, "serve", *args, "--bind", "127.0.0.1:0"], env=SEARCH) as program:
        yield program, program.port(r"^serving .* on https?://\S+:(\d+) ")
        program.send_signal(signal.SIGINT)
        assert program.wait() == 0


def ask(*args: str) -> bytes:
    return subprocess.run(curl.command(*args), capture_output=True, timeout=LIMIT_S, check=True).stdout


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with serving(str(tmp_path), "--listing", "--log", "common") as (_, port):
        assert ask("-r", "1-2", f"http://127.0.0.1:{port}/a") == b"el"
        assert b'href="./a"' in ask(f"http://127.0.0.1:{port}/")


def test_https_and_workers(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    authority = trustme.CA()
    pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(ca))
    (tmp_path / "a").write_bytes(b"hello")
    with serving(str(tmp_path), "--tls", "--certificate", str(pem), "--workers", "2") as (_, port):
        assert ask("--cacert", str(ca), f"https://127.0.0.1:{port}/a") == b"hello"


def test_what_cannot_be_served(tmp_path: Path) -> None:
    done = command("serve", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr == f"python -m socket2: {tmp_path / 'none'} is not a directory, and not MODULE:NAME\n"
    assert command("serve", str(tmp_path), "--certificate", "x").returncode == 2
    for path in ("C:\\none", "C:/none", "none/of", "a-b", "a:b-c", ":a"):
        with pytest.raises(ValueError, match="is not a directory, and not MODULE:NAME"):
            handler_of(argparse.Namespace(target=path))


APPS = """
def for_wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode() + b" wsgi"]

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"asgi"})

def make():
    return app
"""


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["apps:for_wsgi", "--root-path", "/shop"], b"/shop wsgi"),
        (["apps"], b"asgi"),
        (["apps:make", "--factory"], b"asgi"),
        (["apps:app", "--asyncio"], b"asgi"),
    ],
)
def test_an_application(args: list[str], found: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apps.py").write_text(APPS)
    monkeypatch.chdir(tmp_path)
    with serving(*args) as (_, port):
        assert ask(f"http://127.0.0.1:{port}/") == found


def test_applications_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apps.py").write_text(APPS)
    (tmp_path / "broken.py").write_text("import nothing_like_it\n")
    monkeypatch.chdir(tmp_path)
    for target, reason in {
        "missing:app": "there is no module missing",
        "apps:missing": "apps has no attribute 'missing'",
        "broken": "No module named 'nothing_like_it'",
        "apps:APPS": "apps has no attribute 'APPS'",
    }.items():
        done = command("serve", target)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "loading.py" not in done.stderr
