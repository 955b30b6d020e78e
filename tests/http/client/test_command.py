"""`python -m socket2 get`, called in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from socket2.__main__ import main
from tests.interop.peers import refusing_port

from .scripted import pythons_server

Output = pytest.CaptureFixture[bytes]


class Handler(BaseHTTPRequestHandler):
    """Answers with the request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        text = f"{self.requestline}\n{self.headers}".encode().replace(b"\r\n", b"\n") + body
        self.send_response_only(int(self.path[1:4]) if self.path[1:4].isdigit() else 200)
        if self.path == "/302":
            self.send_header("Location", "/there")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer


@pytest.fixture
def url() -> Iterator[str]:
    with pythons_server(Handler) as url:
        yield url


def get(*args: str) -> int:
    return main(["get", *args])


def test_the_body_goes_to_stdout(url: str, capfdbinary: Output) -> None:
    assert get(f"{url}/a?b") == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"GET /a?b HTTP/1.1\nhost: 127.0.0.1:")
    assert err == b""


def test_what_is_sent(url: str, tmp_path: Path, capfdbinary: Output) -> None:
    (tmp_path / "data").write_bytes(b"\0\xff")
    for args, first, expected in (
        (["-d", "x=y"], b"POST / ", [b"content-type: application/x-www-form-urlencoded\n", b"\n\nx=y"]),
        (["-d", f"@{tmp_path}/data", "-X", "PUT", "-H", "Content-Type: a/b"], b"PUT / ", [b": a/b\n", b"\n\n\0\xff"]),
        (
            ["-u", "me:secret", "-H", "A:b", "-H", "A: c"],
            b"GET / ",
            [b"authorization: Basic bWU6c2VjcmV0\n", b"a: c\n"],
        ),
        (["-x", url], b"GET http://", []),
    ):
        assert get(*args, url) == 0
        out, _ = capfdbinary.readouterr()
        assert out.startswith(first)
        assert all(one in out for one in expected)


def test_heads_timing_and_redirects(url: str, capfdbinary: Output) -> None:
    assert get("-i", "-v", "-L", f"{url}/302") == 0
    out, err = capfdbinary.readouterr()
    pattern = rb"HTTP/1.1 302 Found\nLocation: /there\n.*\n\nHTTP/1.1 200 OK\ncontent-length: \d+\n\nGET /there .*"
    assert re.fullmatch(pattern, out, re.S | re.I)
    phases = rb"( +[\d.]+ ms  (TLS|request|head|all|connected).*\n){3,4}"
    assert re.fullmatch(phases, err)
    assert get("-i", f"{url}/302") == 0
    assert capfdbinary.readouterr().out.startswith(b"HTTP/1.1 302 Found\n")


def test_a_file(url: str, tmp_path: Path, capfdbinary: Output) -> None:
    assert get("-o", str(tmp_path / "out"), url) == 0
    assert (tmp_path / "out").read_bytes().startswith(b"GET / HTTP/1.1\n")
    assert capfdbinary.readouterr() == (b"", b"")


def test_errors(url: str, capfdbinary: Output) -> None:
    port = refusing_port()
    for args, expected in (
        (["-f", f"{url}/404"], f"GET {url}/404: 404 Not Found"),
        ([f"http://me:secret@127.0.0.1:{port}/"], f"GET http://127.0.0.1:{port}/: "),
        (["example.org"], "example.org: a URL begins with a scheme"),
        (["-X", "A B", url], "not a method"),
        (["-d", "@/nowhere/at/all", url], "No such file"),
    ):
        assert get(*args) == 1
        out, err = capfdbinary.readouterr()
        assert out == b""
        assert err.startswith(f"python -m socket2: {expected}".encode()), err
    assert get(f"{url}/404") == 0
    with pytest.raises(SystemExit):
        get("-H", "no colon", url)
