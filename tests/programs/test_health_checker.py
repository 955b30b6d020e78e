"""The health checker, against http.server and ports that refuse, swallow and are silent."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from ..interop.peers import LIMIT_S, Program, beside, python, receive_all, refusing, swallowing
from .backends import head_of, http_server, scripted
from .running import EXAMPLES, reset, stop

NAME = "health_checker.py"
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets here")
OFTEN = ["--interval", "0.05", "--failures", "2"]


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.send_header("X-Path", self.path)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Checker:
    """A running checker, and what it tells."""

    def __init__(self, program: Program, path: Path) -> None:
        self.program = program
        self.path = path

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(LIMIT_S)
        sock.connect(str(self.path))
        return sock

    def facts(self) -> dict[str, dict[str, Any]]:
        with self.connect() as sock:
            facts: dict[str, dict[str, Any]] = json.loads(receive_all(sock))
            return facts

    def becomes(self, url: str, **expected: object) -> dict[str, Any]:
        """Wait until these facts are told about an endpoint. Return all facts about it."""
        deadline = monotonic() + LIMIT_S
        while not expected.items() <= (facts := self.facts()[url]).items():
            assert monotonic() < deadline, facts
        return facts


@contextmanager
def checker(directory: Path, *args: str) -> Iterator[Checker]:
    path = directory / "health"
    with python(EXAMPLES / NAME, "--socket", str(path), *args) as program:
        program.announced("^listening on ")
        yield Checker(program, path)
        stop(program)
        assert program.stderr() == b""
    assert not path.exists()


def test_what_is_up_and_what_is_down(tmp_path: Path) -> None:
    with http_server(Handler) as web, refusing() as none, swallowing() as silent:
        urls = [f"http://127.0.0.1:{web}/path?query", f"tcp://127.0.0.1:{web}"]
        urls += [f"http://127.0.0.1:{none}/", f"tcp://127.0.0.1:{silent}"]
        with checker(tmp_path, *OFTEN, "--timeout", "0.2", *urls) as checking:
            assert checking.becomes(urls[0], state="up")["finding"].startswith("200 in ")
            assert checking.becomes(urls[1], state="up")["finding"].startswith("connected in ")
            assert "refused" in checking.becomes(urls[2], state="down")["finding"].lower()
            assert checking.becomes(urls[3], state="down")["finding"] == "no answer in 0.2 s"
            assert checking.facts()[urls[0]]["for_s"] >= 0
            assert [list(checking.facts()), checking.facts()[urls[0]]["failures"]] == [urls, 0]
        announced = checking.program.stdout().decode()
    assert [announced.count(f"\n{url} is ") for url in urls] == [1] * 4  # each change once


def test_states_change(tmp_path: Path) -> None:
    class Changing(Handler):
        pass

    with http_server(Changing) as web:
        url = f"http://127.0.0.1:{web}/"
        with checker(tmp_path, *OFTEN, url) as checking:
            checking.program.announced("is up ")
            Changing.status = 503
            checking.program.announced(r"is down \(status 503\)")
            assert checking.facts()[url]["failures"] >= 2
            Changing.status = 302
            checking.becomes(url, state="up", failures=0)
        assert checking.program.stdout().count(b"is up (") == 2


def test_one_failure_is_no_alarm(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with checker(tmp_path, *OFTEN, url) as checking:
            for status in (b"200", b"500", b"200"):
                with listener.accept()[0] as conn:
                    head_of(conn)
                    conn.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
            with listener.accept()[0]:  # the third answer has been noted
                assert checking.facts()[url]["failures"] == 0
        assert b"down" not in checking.program.stdout()


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (b"", "the stream ended"),
        (b"HTTP/1.1 2", "the stream ended"),
        (b"SSH-2.0-x\r\n", "this is no HTTP server"),
        (b"HTTP/1.1 200OK\r\n", "this is no HTTP server"),
        (b"x" * 5000, "longer than 1024 bytes"),
        (b"HTTP/1.1 404 Not Found\r\n", "status 404"),
    ],
)
def test_servers_that_answer_badly(tmp_path: Path, answer: bytes, finding: str) -> None:
    def serve(conn: socket.socket) -> None:
        head_of(conn)
        conn.sendall(answer)

    with scripted(serve) as web:
        url = f"http://127.0.0.1:{web}/"
        with checker(tmp_path, "--interval", "1000", url) as checking:
            assert finding in checking.becomes(url, state="down", failures=1)["finding"]


def test_not_too_many_at_a_time(tmp_path: Path) -> None:
    """The server counts how many connections there are at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        urls = [f"http://127.0.0.1:{listener.getsockname()[1]}/{at}" for at in range(20)]
        with checker(tmp_path, "--interval", "0.01", "--at-once", "3", *urls):
            conns = [listener.accept()[0] for _ in range(3)]
            for _ in range(30):
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                listener.settimeout(LIMIT_S)
                with conns.pop(0) as conn:
                    head_of(conn)
                    conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                conns.append(listener.accept()[0])
            for conn in conns:
                conn.close()


def test_who_asks_and_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with refusing() as none:
        urls = [f"tcp://127.0.0.1:{none}/{at}" for at in range(300)]
        with checker(tmp_path, *OFTEN, *urls) as checking, ExitStack() as clients:
            for _ in range(50):
                clients.enter_context(checking.connect())
                reset(checking.connect())
            asking = [clients.enter_context(beside(checking.facts)) for _ in range(10)]
            assert [len(one.outcome()) for one in asking] == [300] * 10
            for url in (urls[0], urls[-1]):
                checking.becomes(url, state="down")


def test_ctrl_c_while_all_are_being_checked(tmp_path: Path) -> None:
    with swallowing() as silent:
        urls = [f"http://127.0.0.1:{silent}/{at}" for at in range(100)]
        with checker(tmp_path, "--interval", "0.01", "--timeout", "1000", *urls) as checking:
            assert checking.facts()[urls[0]]["state"] == "unknown"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM kills there")
def test_sigterm(tmp_path: Path) -> None:
    with python(EXAMPLES / NAME, "--socket", str(tmp_path / "health"), "tcp://127.0.0.1:9") as program:
        program.announced("^listening on ")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "tcp://127.0.0.1", "ftp://a/", "http:///x", "http://a:x/", "http://a/ b"]
)
def test_bad_urls(tmp_path: Path, url: str) -> None:
    with python(EXAMPLES / NAME, "--socket", str(tmp_path / "health"), url) as program:
        assert program.wait() == 2
        assert b"error: argument URL: " in program.stderr()


def test_a_socket_that_is_taken(tmp_path: Path) -> None:
    with checker(tmp_path, "tcp://127.0.0.1:9") as checking:
        with python(EXAMPLES / NAME, "--socket", str(checking.path), "tcp://127.0.0.1:9") as program:
            assert program.wait() == 1
            assert program.stderr().startswith(f"cannot listen on {checking.path}: ".encode())
        assert checking.facts()
